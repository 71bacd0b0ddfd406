"""Replay: a recording through the same executor, risk, planner and gateway as live."""
