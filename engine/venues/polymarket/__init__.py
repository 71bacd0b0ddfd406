"""Polymarket: its numbers, names and rules."""
