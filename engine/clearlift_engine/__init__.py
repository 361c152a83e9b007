"""The rules of the worker: no I/O, no clock, no randomness. What it needs is in `ports`."""
