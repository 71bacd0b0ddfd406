"""Indicators: views and events turned into numbers, streaming, O(1) per event.

Every learning indicator is a mutable `msgspec.Struct`: slotted, and its own state. A strategy
keeps it as a field of its state, encodes the whole and gets the same numbers after a restart. None
of them reads a clock: the time of a sample comes with it. A number that is not known yet is None.
"""
