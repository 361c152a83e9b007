"""Files that run the worker: units for systemd, a crontab, manifests, a Dockerfile, wrangler.toml.

They are templates in this package. What is put into them is checked before, so that no value can
end the line it stands on; no secret is ever among them, only where each one is read from.
"""
