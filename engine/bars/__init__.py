"""Bars from trades and mids: one sampler for live, paper, replay and files. No I/O, no clock."""
