"""Numbers from labels and scores: arrays in, numbers out. Imports no torch."""
