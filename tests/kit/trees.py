"""Syntax trees of the product, as the laws read them."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def parsed(text: str) -> ast.Module:
    """Return the tree of a source; equal ones are parsed once a process."""
    return ast.parse(text)


def tree_of(file: Path) -> ast.Module:
    """Return the tree of a file as it is now."""
    return parsed(file.read_text(encoding="utf-8"))


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Give the statements and cases under a node at any depth, outer ones first, without itself.

    Classes, functions, imports and assignments are statements: whoever looks for these alone does
    not visit the expressions, which are nine of ten nodes.
    """
    left = deque([node])
    while left:
        one = left.popleft()
        for name in ("body", "handlers", "orelse", "finalbody", "cases"):
            found = getattr(one, name, ())
            if isinstance(found, list):
                left.extend(found)
                yield from found
