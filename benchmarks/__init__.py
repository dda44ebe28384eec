"""Measurements: each ``bench_*.py`` prints a table and writes JSON. See README.md."""
