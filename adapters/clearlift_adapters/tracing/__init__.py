"""Traces of ticks for OpenTelemetry: the ports are wrapped, and the engine knows nothing of it."""
