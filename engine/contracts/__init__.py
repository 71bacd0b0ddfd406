"""Contracts: what a thing owes by what it is, checked by looking at it and by using it.

Each `check_*` takes one thing and gives a sentence for everything that is wrong with it; none =
it keeps its contract. The suite runs them over everything that is found, an author over a folder
(`python -m engine plugins check PATH`).
"""
