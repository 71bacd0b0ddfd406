"""Market events of one instrument as rows of whole numbers: what the compiled path hears.

A row is (at_ns, op, price, size, last), all int64, prices in YES-space. A `BookChanged` is one row
per level, `last` is 1 on the final one of an event; a print is one row. Whatever else happens is a
row `OTHER` that stands for an event kept beside the rows.
"""

from __future__ import annotations

AT_NS, OP, PRICE, SIZE, LAST = range(5)
"""What stands in which column."""

WIDTH = 5

BID, ASK, SOLD, BOUGHT, NOTHING, OTHER = range(6)
"""A bid's or an ask's new size; a print whose aggressor sold or bought, of taped size; a change of
no level; any other event."""

SIZE_MAX = 1 << 53
"""Largest size the compiled path takes: sums of hundreds of them still fit into 64 bits."""
