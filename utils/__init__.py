"""Losses, constraints, samplers, metrics and the training machinery. Importing this package imports no torch."""
