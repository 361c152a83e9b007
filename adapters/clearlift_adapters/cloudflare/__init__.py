"""Cloudflare's REST API: one client for D1 and Queues, its limits and what its errors mean."""
