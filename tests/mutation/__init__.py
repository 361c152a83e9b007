"""Changes the engine in one place at a time, to see that a unit test minds: `just mutate`."""
