"""One training loop a file, each as the documentation of its package has a user write it; bench_peers.py times them.

They run in environments of their own, so they import nothing of utils/; ``problem.py`` gives each the same data and
model, and times it. ``ours.py`` alone runs in the environment of the benchmarks.
"""
