"""A toy: one of everything that a plug-in may bring."""

__version__ = "1.0"
