"""Commands of an operator on a live engine: a file per subject."""
