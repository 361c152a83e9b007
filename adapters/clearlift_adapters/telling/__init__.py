"""Tells people and their monitors how the worker is, by nothing but URLs.

Whoever is told must never keep a tick from its work: see `courier` for how slow and dead receivers
are kept apart from it, and `news` for how it is remembered what was told.
"""
