"""The import law: who may import whom. `ROOMS` is the law; the README's table of rooms tells it.

A row holds for everything below it. Rooms that decide have no I/O, no clock and no chance.
"""

from __future__ import annotations

import ast
import collections
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from engine.contracts.imports import CHANCE, CLOCK, IO, PURE, SQL
from tests.kit.trees import statements, tree_of

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = ("engine", "storage", "pages", "app.py")

EVERY_LIBRARY = frozenset({"*"})

# `domain`, `errors`, `config` and `in_time` are open to all, and so are msgspec, in which messages
# are written, and pydantic, in which settings and parameters are.
# The domain may import errors (a value that cannot be read is BadInput) but not config; it finds
# the commands, jobs and alerts that a file adds as every room does (engine/plugins.py).
OPEN = (
    *("engine.domain", "engine.errors", "engine.config", "engine.plugins", "engine.in_time"),
    "engine.code_digest",
)
OPEN_LIBRARIES = frozenset({"msgspec", "pydantic"})
BASE = ("engine.clock", "engine.locks", "engine.log", "engine.redaction")
"""What every room that waits may use besides."""

CORES = (
    "engine.bots",
    "engine.caches",
    "engine.executor",
    "engine.gateway",
    "engine.indicators",
    "engine.bars",
    "engine.risk",
    "engine.strategies",
)
"""The rooms that decide. Whoever turns them imports them."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a room may import besides what is open to all, and what it must never import.

    `waits` are the modules of a room without I/O that do what the others decided.
    """

    may: tuple[str, ...] = ()
    libraries: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    opened: tuple[str, ...] = OPEN
    waits: tuple[str, ...] = ()


NUMERIC = frozenset({"numpy"})

LAB = Room(
    may=(
        "engine.runtime",
        "engine.venues.paper",
        "engine.venues.demo",
        "engine.venues.polymarket.market",
        "engine.feeds",
        "storage",
        *CORES,
        *BASE,
    ),
    libraries=EVERY_LIBRARY,
)

ROOMS = {
    "engine": Room(libraries=EVERY_LIBRARY, never=SQL | CHANCE, may=BASE),
    "engine.domain": Room(never=PURE, opened=("engine.errors", "engine.plugins")),
    "engine.caches": Room(libraries=NUMERIC, never=PURE),
    "engine.indicators": Room(libraries=NUMERIC, never=PURE),
    "engine.bars": Room(never=PURE),
    "engine.risk": Room(never=PURE),
    "engine.executor": Room(may=("engine.risk",), never=PURE),
    "engine.gateway": Room(may=("engine.clock",), never=PURE, waits=("engine.gateway.sender",)),
    "engine.strategies": Room(may=("engine.indicators", "engine.caches.views"), never=PURE),
    "engine.bots": Room(
        may=(
            "engine.strategies",
            "engine.indicators",
            "engine.bars",
            "engine.caches",
            "engine.risk",
            "engine.executor",
        ),
        never=PURE,
    ),
    "storage": Room(
        libraries=frozenset(
            {"sqlalchemy", "sqlite_utils", "alembic", "orjson", "argon2", "zstandard"} | {"pyarrow"}
        ),
        opened=("engine.domain", "engine.errors", "engine.plugins"),
    ),
    "engine.runtime": Room(may=("storage", *CORES, *BASE), libraries=EVERY_LIBRARY),
    "engine.venues": Room(
        may=("engine.runtime", "engine.gateway.door", "engine.feeds", *BASE),
        libraries=EVERY_LIBRARY,
        never=SQL,
    ),
    "engine.feeds": Room(may=BASE, libraries=EVERY_LIBRARY, never=SQL),
    "engine.live": Room(
        may=("engine.runtime", "engine.venues.registry", "storage", *CORES, *BASE),
        libraries=EVERY_LIBRARY,
    ),
    "engine.jobs": Room(
        may=("engine.lab", "engine.runtime", "storage", *BASE), libraries=EVERY_LIBRARY
    ),
    "engine.lab": LAB,
    "engine.watch": Room(
        may=("storage", *BASE), libraries=EVERY_LIBRARY, never=frozenset({"pydantic"})
    ),
    "engine.cli": Room(may=("engine", "storage"), libraries=EVERY_LIBRARY),
    "engine.contracts": Room(may=("engine", "storage"), libraries=EVERY_LIBRARY),
    "pages": Room(
        may=("storage", "engine.domain"),
        libraries=frozenset({"streamlit", "starlette", "plotly", "pandas", "itsdangerous"}),
        never=SQL,
    ),
}
"""The law: a row a room. A new file never needs a new row."""

SAME_ROW = {"engine.__main__": "engine.cli", "app": "pages"}
"""Files beside the rooms, and whose row they keep."""

ALSO = {
    "engine.lab.simulate": ("engine.live",),
    "engine.jobs.canary": ("engine.venues.registry",),
    "engine.jobs.markets": ("engine.venues.registry",),
}
"""The simulator proves the engine that lives: it alone of the lab may import it. What is public of
a venue is asked by the worker, whose process has no credential."""

APART = (("engine.venues.polymarket.market", "engine.venues.polymarket.account"),)
"""Halves of one venue: the public one cannot reach what signs (law R)."""

BESIDE = frozenset({"bench", "studies", "tests"})
"""What uses the product and is no part of it."""

NOT_YET: dict[str, int] = {}
"""Imports against the law that stand until their room is rebuilt: `row → row`: how many. A number
may only become smaller."""


def module_name(file: Path, root: Path) -> str:
    """Return the dotted name of a source file."""
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(root: Path) -> Iterator[Path]:
    for name in SOURCES:
        place = root / name
        yield from sorted(place.rglob("*.py")) if place.is_dir() else [place][: place.is_file()]


def room_of(module: str) -> str:
    """Return the row of the table a module falls under: the longest that fits, or ''."""
    if module in SAME_ROW:
        return SAME_ROW[module]
    parts = module.split(".")
    if parts[0] == "engine" and len(parts) > 1:
        row = ".".join(parts[:2])
        # A file at the root of the engine is base: what everybody may rely on.
        return row if row in ROOMS else "engine" * (module in (*BASE, *OPEN[1:]))
    return parts[0] if parts[0] in ROOMS else ""


def venue_of(module: str) -> str:
    """Return `engine.venues.<id>` of a module of a venue, or ''."""
    parts = module.split(".")
    return ".".join(parts[:3]) if parts[:2] == ["engine", "venues"] and len(parts) > 2 else ""


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(place + ".") for place in places)


def imports(tree: ast.AST, module: str, file: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Give (line, dotted target) of every import, at any depth, also those only for types."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in statements(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, base] if base else up)
            for alias in node.names:
                inner = root / Path(*base.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                yield node.lineno, f"{base}.{alias.name}" if is_module else base


def objection(module: str, target: str) -> str:
    """Return why `module` may not import `target`, or ''."""
    row = room_of(module)
    if not row:
        return f"{module} stands in no room: give it a row in the table of the import law"
    room = ROOMS[row]
    top = target.partition(".")[0]
    if top in BESIDE:
        return f"{row} imports {target}; {top} stands beside the product"
    for half, other in APART:
        if fnmatch(module, f"{half}*") and fnmatch(target, f"{other}*"):
            return f"{module} imports {target}; {half} must never reach {other}"
    if top in {"engine", "storage", "pages", "app"}:
        also = tuple(name for place in ALSO if within(module, (place,)) for name in ALSO[place])
        may = (*room.opened, *room.may, *also)
        if within(target, may) or (row == room_of(target) and _one_venue(module, target)):
            return ""
        return f"{row} imports {target}; of the product it may import {', '.join(may) or 'nothing'}"
    waits = within(module, room.waits)
    if not waits and (top in room.never or within(target, tuple(room.never))):
        return f"{row} imports {target}; it must never have {_kind(top)}"
    if top in sys.stdlib_module_names or top in OPEN_LIBRARIES:
        return ""
    if waits or "*" in room.libraries or top in room.libraries:
        return ""
    listed = ", ".join(sorted(room.libraries | OPEN_LIBRARIES))
    return f"{row} imports {target}; of libraries it may import {listed}"


def _one_venue(module: str, target: str) -> bool:
    """Say whether two modules are not of two venues."""
    return "" in (venue_of(target), venue_of(module)) or venue_of(module) == venue_of(target)


def _kind(top: str) -> str:
    kinds = {"SQL": SQL, "a clock": CLOCK, "randomness": CHANCE, "I/O": IO}
    return next(name for name, members in kinds.items() if top in members)


def violations(root: Path) -> list[str]:
    """Return `file:line: sentence` for every import that breaks the law."""
    found = []
    for file in sources(root):
        module = module_name(file, root)
        tree = tree_of(file)
        for line, target in imports(tree, module, file, root):
            sentence = objection(module, target)
            if sentence:
                found.append(f"{file.relative_to(root)}:{line}: {sentence}")
    return list(dict.fromkeys(found))


def test_every_import_keeps_the_law() -> None:
    found = violations(REPOSITORY)
    counted = collections.Counter(sentence.split(": ", 1)[1].split(";")[0] for sentence in found)
    kinds = collections.Counter(kind_of(sentence) for sentence in counted.elements())
    more = {kind: count for kind, count in kinds.items() if count > NOT_YET.get(kind, 0)}
    assert not more, f"{more}\n" + "\n".join(found)
    fell = {kind: kinds[kind] for kind, count in NOT_YET.items() if kinds[kind] < count}
    if fell:
        print(f"NOT_YET fell to {fell}: write it down")


def kind_of(sentence: str) -> str:
    """Return `row → row` of an objection's sentence."""
    row, _, target = sentence.partition(" imports ")
    return f"{room_of(row) or row} → {room_of(target) or target}"


def test_sources_are_really_read() -> None:
    names = {module_name(file, REPOSITORY) for file in sources(REPOSITORY)}
    assert {"engine.domain.orders", "engine.gateway.door", "storage"} <= names


PLANTED = [
    ("engine/domain/x.py", "import time", "engine.domain imports time; it must never have a clock"),
    ("engine/domain/x.py", "from engine.config import load", "it may import engine.errors"),
    ("engine/risk/gate.py", "def f():\n    import sqlite3", "it must never have SQL"),
    ("engine/risk/gate.py", "from engine.executor import planner", "engine.risk imports"),
    ("engine/executor/x.py", "from engine.gateway.core import GatewayCore", "engine.gateway.core"),
    ("engine/executor/x.py", "import asyncio", "it must never have I/O"),
    ("engine/caches/x.py", "from os.path import join", "it must never have I/O"),
    ("engine/strategies/x.py", "from engine.caches.markets import MarketCache", "caches.markets"),
    ("engine/strategies/x.py", "import random", "it must never have randomness"),
    ("engine/strategies/x.py", "import numpy", "of libraries it may import msgspec, pydantic"),
    ("engine/venues/paper/x.py", "from ..polymarket import rules", "engine.venues.polymarket"),
    ("engine/feeds/x.py", "from engine.caches import views", "engine.feeds imports engine.caches"),
    (
        "engine/alerts/x.py",
        "from engine.executor import ledger",
        "engine.alerts.x stands in no room",
    ),
    ("engine/venues/demo/x.py", "from engine.venues.paper import core", "engine.venues imports"),
    (
        "engine/venues/polymarket/market/x.py",
        "from engine.venues.polymarket.account import sdk",
        "must never reach",
    ),
    ("engine/lab/replay/x.py", "from engine.live import engine", "engine.lab imports"),
    ("engine/runtime/x.py", "from engine.venues.demo import wire", "engine.runtime imports"),
    ("storage/views.py", "from engine.config import load", "storage imports engine.config"),
    ("storage/views.py", "import engine.lab.replay.run", "storage imports engine.lab.replay.run"),
    ("pages/risk/page.py", "from engine.executor import ledger", "pages imports engine.executor"),
    ("pages/risk/page.py", "import sqlite3", "pages imports sqlite3; it must never have SQL"),
    (
        "pages/bots/page.py",
        "from engine.strategies.registry import build",
        "engine.strategies.registry",
    ),
    ("engine/jobs/x.py", "from studies.compare.run import compare", "beside the product"),
    ("engine/new.py", "import json", "engine.new stands in no room"),
    (
        "engine/risk/x.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from engine.bots import bot",
        "x.py:3: engine.risk imports engine.bots",
    ),
]


@pytest.mark.parametrize(("name", "text", "sentence"), PLANTED)
def test_planted_violation_is_found(name: str, text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    found = violations(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(f"{name}:")
    assert sentence in found[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "engine/domain/x.py",
            "from engine.errors import BadInput\nimport msgspec, pydantic, enum",
        ),
        ("engine/strategies/x.py", "from engine.caches.views import BookView\nimport pydantic"),
        ("engine/executor/x.py", "from engine.risk.gate import Gate\nfrom . import planner"),
        ("engine/lab/simulate/x.py", "from engine.live.engine import Engine"),
        ("engine/gateway/sender.py", "import asyncio\nfrom engine.gateway.core import GatewayCore"),
        ("engine/lab/x.py", "import time, polars, engine.bots.core, storage.views"),
        ("storage/views.py", "import sqlite3, alembic\nfrom engine.domain.orders import Order"),
    ],
)
def test_lawful_import_is_left_alone(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    assert violations(tmp_path) == []
