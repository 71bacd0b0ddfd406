"""Polymarket's market channel: frames in, market events out. No socket, no clock, no repair.

The live feed and the readers of recordings turn the same cores. All events are in YES-space:
a level of the NO token at q becomes the other side's level at 1 − q.
"""
