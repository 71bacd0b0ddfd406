"""The lab: recordings, replay, backtests and what the worker runs."""
