"""Bugs planted one at a time, to see that something finds each of them: `just sabotage`."""
