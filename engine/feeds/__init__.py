"""Feeds: frames of the world in, events out. Best effort: they never repair (law D)."""
