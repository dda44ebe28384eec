"""What knows the operating system: files, locks, signals, memory, devices."""
