"""Bots: a strategy with instruments, an account, capital and limits; wakes and isolates it."""
