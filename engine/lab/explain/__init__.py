"""Explain: plans made again from the journal and compared byte for byte."""
