"""Caches: events in, views out. Best effort: they never repair, infer or gate (law D)."""
