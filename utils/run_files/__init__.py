"""One module for each file under ``checkpoint/``, reader and writer together."""
