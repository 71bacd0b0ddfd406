"""The demo exchange: one seeded, sans-I/O exchange core on virtual time, for two hosts.

Takes tickets, cancels and the passing of time; gives public market events and private reports.
It knows no clock, no socket and not who its customers are; the same seed and the same inputs give
the same stream, byte for byte. Prices and sizes are ints in the instrument's increments, money is
int micro-units. `exchange` is the front door, `world` furnishes it with markets and a crowd,
`customer` is the door of the venues' room for one account.
"""
