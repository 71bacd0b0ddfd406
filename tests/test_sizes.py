"""Sizes: hard limits nothing may pass, and counts over the soft ones that may only fall.

A function's size is counted from its `def` to its last line, docstring included. Where a count
fell, the test asks for the new number in `RATCHET`: what was won is not given back.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = ("engine", "storage", "pages", "bench", "studies", "app.py")

FUNCTION_LINES_MAX = 70
FUNCTION_LINES_SOFT = 50
FILE_LINES_MAX = 900
FILE_LINES_SOFT = 600
POSITIONAL_SOFT = 5

RATCHET = {"functions over 50 lines": 1, "files over 600 lines": 0, "functions over 5 arguments": 0}
"""How many there may be. A number may only become smaller. The one long function is the compiled
generator of the benchmark's workload: one loop, as the compiler wants it."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(root: Path) -> Iterator[Path]:
    for name in SOURCES:
        place = root / name
        found = sorted(place.rglob("*.py")) if place.is_dir() else [place][: place.is_file()]
        # Applied migrations are history: they are never edited again. Peers live in bench/.venvs.
        yield from (file for file in found if not {"versions", ".venvs"} & set(file.parts))


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def lines_of(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def positional(function: Function) -> int:
    """Return how many arguments can be given by position; `self` and `cls` do not count."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def measure(root: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return what passes a hard limit, and what passes each soft one."""
    hard: list[str] = []
    soft: dict[str, list[str]] = {name: [] for name in RATCHET}
    for file in files(root):
        text = file.read_text(encoding="utf-8")
        name = file.relative_to(root).as_posix()
        count = len(text.splitlines())
        if count > FILE_LINES_MAX:
            hard.append(f"{name}: {count} lines; {FILE_LINES_MAX} is the limit, split it")
        if count > FILE_LINES_SOFT:
            soft["files over 600 lines"].append(f"{name}: {count} lines")
        for function in functions(ast.parse(text, filename=name)):
            place, size = f"{name}:{function.lineno}: {function.name}", lines_of(function)
            if size > FUNCTION_LINES_MAX:
                hard.append(f"{place}: {size} lines; {FUNCTION_LINES_MAX} is the limit, split it")
            if size > FUNCTION_LINES_SOFT:
                soft["functions over 50 lines"].append(f"{place}: {size} lines")
            if positional(function) > POSITIONAL_SOFT:
                soft["functions over 5 arguments"].append(
                    f"{place}: {positional(function)} arguments by position; make them keyword-only"
                )
    return hard, soft


@cache
def of_the_repository() -> tuple[list[str], dict[str, list[str]]]:
    return measure(REPOSITORY)


def test_nothing_passes_a_hard_limit() -> None:
    hard, _ = of_the_repository()
    assert not hard, "\n" + "\n".join(hard)


@pytest.mark.parametrize("limit", RATCHET)
def test_soft_limit_is_passed_no_more_often_than_before(limit: str) -> None:
    _, soft = of_the_repository()
    over, allowed = soft[limit], RATCHET[limit]
    assert len(over) <= allowed, f"\n{limit}: {len(over)}, {allowed} allowed:\n" + "\n".join(over)
    assert len(over) == allowed, f"{limit} fell to {len(over)}: write that into RATCHET"


def plant(root: Path, name: str, text: str) -> tuple[list[str], dict[str, list[str]]]:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return measure(root)


def function_of(lines: int) -> str:
    return "def f():\n" + "    x = 1\n" * (lines - 1)


@pytest.mark.parametrize(
    ("lines", "hard", "soft"), [(50, 0, 0), (51, 0, 1), (70, 0, 1), (71, 1, 1)]
)
def test_long_function_is_found(lines: int, hard: int, soft: int, tmp_path: Path) -> None:
    found, over = plant(tmp_path, "engine/x.py", function_of(lines))
    assert len(found) == hard
    assert len(over["functions over 50 lines"]) == soft


@pytest.mark.parametrize(("lines", "hard", "soft"), [(600, 0, 0), (601, 0, 1), (901, 1, 1)])
def test_long_file_is_found(lines: int, hard: int, soft: int, tmp_path: Path) -> None:
    found, over = plant(tmp_path, "storage/x.py", "x = 1\n" * lines)
    assert len(found) == hard
    assert len(over["files over 600 lines"]) == soft


def test_method_nested_in_a_class_is_measured(tmp_path: Path) -> None:
    body = "".join(f"    {line}\n" for line in function_of(80).splitlines())
    found, _ = plant(tmp_path, "engine/x.py", "class C:\n" + body)
    assert len(found) == 1
    assert found[0].startswith("engine/x.py:2: f: 80 lines")


def test_arguments_by_position_are_counted_without_self(tmp_path: Path) -> None:
    text = (
        "class C:\n    def f(self, a, b, c, d, e): ...\n    def g(self, a, *, b, c, d, e, f): ...\n"
    )
    assert plant(tmp_path, "engine/x.py", text)[1]["functions over 5 arguments"] == []
    text = "def f(a, b, c, d, e, f): ...\n"
    assert len(plant(tmp_path, "engine/x.py", text)[1]["functions over 5 arguments"]) == 1


def test_applied_migrations_and_peers_are_left_out(tmp_path: Path) -> None:
    plant(tmp_path, "storage/migrations/versions/0001.py", function_of(80))
    found, _ = plant(tmp_path, "bench/.venvs/peer/x.py", function_of(80))
    assert found == []
