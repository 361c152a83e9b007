"""The databases behind the ports Store, Vault, Journal, Leases and Archive, and their queries."""
