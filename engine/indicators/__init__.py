"""Indicators: views in, numbers out, streaming and O(1) per event."""
