"""Incident time travel: a moment of a desk's past, lived again and compared with what was kept.

A start puts on the tape what it began from, and a desk everything it is given. From the start of
the life a moment lies in, the same desks are given the same again (`run`): every effect must
be the journal's next record, every decision and plan the log's next row, byte for byte (`past`).
What the desks are at each step around the moment (`picture`) becomes one page (`page`). Where the
tape does not reach back to the start of that life, journal, market and log are shown as they stand
(`run.ShownWindow`), and it is said that nothing was decided again.
"""
