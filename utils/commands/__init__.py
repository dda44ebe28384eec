"""The commands, each a file with a function ``main(argv) -> exit code``."""
