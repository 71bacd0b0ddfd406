"""Strategies: views in, intents out. Pure: no waiting, no I/O, no clock, no order ids (law B)."""
