"""Polymarket's market channel: frames in, market events out. No socket, no clock, no repair.

The live feed and the readers of recordings turn the same cores. Everything is told in YES-space:
a level of the NO token at q is told as the other side's level at 1 − q.
"""
