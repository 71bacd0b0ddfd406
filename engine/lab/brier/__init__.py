"""Brier: forecasts of the fair value on recorded up/down markets with known outcomes."""
