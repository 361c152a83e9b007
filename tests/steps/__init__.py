"""Real processes, stopped at every single thing that they do to the world."""
