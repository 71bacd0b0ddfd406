"""What the flags of hftbacktest's events mean, and where its columns are (types.py there)."""

from __future__ import annotations

KIND_MASK = 0xFF
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
"""Kinds of `ev`: a level of the book, a trade, the levels up to a price, a level of a snapshot."""
SELL_EVENT, BUY_EVENT, EXCH_EVENT = 1 << 28, 1 << 29, 1 << 31
"""Bits of `ev`; an event that only the local clock orders has no bit for the exchange's."""
COLUMNS = {"time": ("exch_ts",), "price": ("px",), "size": ("qty",), "side": ("ev",)}
"""Role → column."""
