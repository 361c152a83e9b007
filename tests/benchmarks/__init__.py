"""How fast it is, as ratios: `just bench`."""
