"""Arguments and YAML files -> one finished, checked ``Settings``, before any data are read. Imports no torch."""
