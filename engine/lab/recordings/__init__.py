"""Recordings: files of the world's frames, told again as events in the order they happened."""
