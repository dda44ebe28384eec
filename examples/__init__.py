"""Complete training loops of other kinds, built from the parts. Each file stands alone, to be copied."""
