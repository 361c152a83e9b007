"""A whole day of ticks, relays and everything that can go wrong, drawn from one number."""
