"""Recordings: files of the world's frames, replayed as events in the order they happened."""
