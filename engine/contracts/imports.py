"""What a file imports, and what code that decides must never import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SQL = frozenset({"sqlite3", "sqlalchemy", "sqlmodel", "sqlite_utils", "alembic"})
CLOCK = frozenset({"time", "sched"})
CHANCE = frozenset({"random", "secrets", "uuid"})
IO = frozenset(
    """
    asyncio concurrent fcntl fileinput ftplib glob http io logging mmap multiprocessing os pathlib
    select selectors shutil signal smtplib socket socketserver ssl subprocess tempfile threading
    urllib httpx websockets aiohttp requests
    """.split()  # noqa: SIM905 thirty quoted names are harder to read
)
PURE = SQL | CLOCK | CHANCE | IO
"""What code that decides never imports: the same input must give the same answer."""

BUILTINS = frozenset({"open", "print", "input", "exec", "eval", "__import__"})
"""Functions that do what `PURE` forbids without an import."""


def imported(tree: ast.AST, *, top: bool = False) -> Iterator[tuple[int, str]]:
    """Give (line, dotted name) of every absolute import; `top` = those the import of a file runs.

    What stands under `if TYPE_CHECKING` is no import of the running program.
    """
    for node in _nodes(tree, top=top):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, node.module or ""


def _nodes(tree: ast.AST, *, top: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield node
        yield from _nodes(node, top=top)


def impurities(file: Path) -> Iterator[str]:
    """Give a sentence for everything a file does that code which decides must not do."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for line, name in imported(tree):
        if name in PURE or name.partition(".")[0] in PURE:
            yield f"{file}:{line}: it imports {name}: no I/O, no clock, no chance, no SQL"
    for node in ast.walk(tree):
        called = (
            node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        )
        if called in BUILTINS:
            line = getattr(node, "lineno", 0)
            yield f"{file}:{line}: it calls {called}(): no I/O, no code in text"


HIDDEN = frozenset({"builtins", "ctypes", "gc", "importlib", "inspect", "sys"})
"""Modules by which a strategy could reach what it is not given: frames, objects, other modules."""

NOW = frozenset({"now", "utcnow", "today"})
"""Methods of `datetime` that read the clock."""


def by_the_back_door(file: Path) -> Iterator[str]:
    """Give a sentence for every other way to the clock, to chance, or to what was not given."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for line, name in imported(tree):
        if name.partition(".")[0] in HIDDEN:
            yield f"{file}:{line}: it imports {name}: a strategy has what its context gives it"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value).rpartition(".")[2]
            if node.func.attr in NOW and owner in {"datetime", "date", "dt"}:
                yield f"{file}:{node.lineno}: it calls {owner}.{node.func.attr}(): no clock"
        elif isinstance(node, ast.Attribute) and node.attr == "random":
            yield f"{file}:{node.lineno}: it uses {ast.unparse(node)}: no chance"
        elif isinstance(node, ast.Name) and node.id == "__builtins__":
            yield f"{file}:{node.lineno}: it uses __builtins__: no I/O, no code in text"


LIGHT = ("engine.domain", "engine.errors", "engine.plugins")


def heavy(file: Path) -> Iterator[str]:
    """Give a sentence for everything of the product, but the domain, that a file imports on top.

    Every program imports the files of commands, jobs and alerts.
    """
    for line, name in imported(ast.parse(file.read_text(encoding="utf-8")), top=True):
        ours = name.partition(".")[0] in {"engine", "storage", "pages"}
        if ours and not any(name == one or name.startswith(f"{one}.") for one in LIGHT):
            yield f"{file}:{line}: it imports {name} on top: import it inside `run`"
