"""Published numbers reproduced, and comparisons of our own; see README.md."""
