"""Benchmarks: ratios of two things measured alternately in one run, never a timed test."""
