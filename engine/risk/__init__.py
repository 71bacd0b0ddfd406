"""Risk: permits, shrinks, or names the reason. Pure: no I/O, no clock, no SQL.

`exposure` keeps the worst-case money at risk, `breakers` the day's anchor, the peak, the stops and
the latch, `gate` reads both and answers for each order. `marks` is the arithmetic
beside them.
"""
