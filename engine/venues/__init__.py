"""Venues: the outside behind one door. They never import feeds, caches or the executor."""
