"""Sums over all pairs of a positive and a negative, as torch operations with gradients."""
