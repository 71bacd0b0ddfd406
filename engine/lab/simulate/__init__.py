"""Simulation: the whole engine under a virtual clock and one seed, with faults and judges.

One seed gives a demo exchange, accounts with an engine each, a strategy that never rests and a
choice of faults; the same seed gives the same run, byte for byte. Judges watch who never look into
the executor's state: they see the exchange's truth, the journal, the intents and the effects.
"""
