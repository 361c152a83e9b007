"""The world behind `clearlift_engine.ports`: databases, queues, token endpoints, the CLI."""
