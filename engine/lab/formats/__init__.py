"""Formats of imported files: what a table's columns mean, a file each, found by scan."""
