"""Risk: permits, shrinks, or names the reason. Pure: no I/O, no clock, no SQL.

`exposure` keeps the worst-case money at risk; `gate` keeps the day's anchor, the peak, the stops
and the latch, reads both and answers for each order.
"""
