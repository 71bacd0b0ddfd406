"""The import law: who may import whom. `ROOMS` is the law; the README's table of rooms tells it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = ("engine", "storage", "pages", "app.py")

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
EVERY_LIBRARY = frozenset({"*"})

# `domain`, `errors` and `config` are open to all, and so are msgspec, in which messages are
# written, and pydantic, in which settings and parameters are.
# The domain may import errors (a value that cannot be read is BadInput) but not config.
OPEN = ("engine.domain", "engine.errors", "engine.config")
OPEN_LIBRARIES = frozenset({"msgspec", "pydantic"})


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a room may import besides what is open to all, and what it must never import."""

    may: tuple[str, ...] = ()
    libraries: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    opened: tuple[str, ...] = OPEN


DRIVER = Room(may=("engine", "storage"), libraries=EVERY_LIBRARY)
SENDER = Room(
    may=("engine.gateway", "engine.gateway.door", "engine.clock"),
    libraries=EVERY_LIBRARY,
    never=SQL | CHANCE,
)
"""The gateway's one part that waits."""

NUMERIC = frozenset({"numpy", "numba"})

ROOMS = {
    "engine": Room(never=PURE),
    "engine.domain": Room(never=PURE, opened=("engine.errors",)),
    "engine.errors": Room(never=PURE, opened=()),
    "engine.config": Room(
        libraries=frozenset({"pydantic_settings", "dotenv"}),
        never=SQL | CLOCK | CHANCE,
    ),
    "engine.clock": Room(never=SQL | CHANCE),
    "engine.cli.arguments": Room(never=PURE - {"urllib"}),
    "engine.redaction": Room(never=PURE - {"urllib"}),
    "engine.log": Room(
        may=("engine.redaction",),
        libraries=frozenset({"structlog", "orjson"}),
        never=SQL | CHANCE,
    ),
    "engine.runtime.journal": Room(may=("storage", "engine.runtime.journal"), never=CHANCE),
    "engine.runtime.journal": Room(may=("storage",), never=CHANCE),
    "engine.runtime.decisions": Room(may=("storage",), never=CHANCE),
    "engine.live.vault": Room(
        may=("storage",), libraries=frozenset({"cryptography"}), never=CHANCE
    ),
    "engine.locks": Room(never=SQL | CHANCE),
    "engine.runtime.tape_format": Room(libraries=frozenset({"zstandard"}), never=CHANCE),
    "engine.runtime.tape_recording": Room(never=PURE),
    "engine.runtime.tape": Room(
        may=("engine.runtime.tape_format",), libraries=frozenset({"zstandard"}), never=CHANCE
    ),
    "engine.caches": Room(libraries=NUMERIC, never=PURE),
    "engine.indicators": Room(libraries=NUMERIC, never=PURE),
    "engine.strategies": Room(
        may=("engine.indicators", "engine.caches.views"),
        never=PURE,
    ),
    "engine.risk": Room(never=PURE),
    "engine.executor": Room(may=("engine.risk",), never=PURE),
    "engine.gateway": Room(may=("engine.gateway.door",), never=PURE),
    "engine.gateway.sender": SENDER,
    "engine.gateway.sender": SENDER,
    "engine.bots": Room(
        may=(
            "engine.strategies",
            "engine.indicators",
            "engine.caches",
            "engine.risk",
            "engine.executor",
        ),
        never=PURE,
    ),
    "engine.venues": Room(may=("engine.venues",), never=SQL),
    "engine.gateway.door": Room(never=PURE),
    # Simulated venues are cores: they get time with each message, as everything inside does. The
    # demo exchange draws from a random.Random(seed) of its own.
    "engine.venues.paper": Room(may=("engine.gateway.door",), never=PURE),
    # Its compiled path hears columns: the same rules over arrays, held to the plain ones by tests.
    "engine.venues.paper.kernel": Room(may=("engine.venues.paper.columns",), never=PURE),
    "engine.venues.paper.compiled": Room(
        may=("engine.venues.paper",), libraries=frozenset({"numpy"}), never=PURE
    ),
    "engine.venues.demo": Room(may=("engine.gateway.door",), never=PURE - {"random"}),
    # Its shells: a folder, a socket on either side. They do what the core decided.
    "engine.venues.demo.host": Room(
        may=("engine.venues.demo",), never=SQL | CLOCK | (CHANCE - {"random"})
    ),
    "engine.venues.demo.server": Room(
        may=("engine.venues.demo", "engine.clock"),
        libraries=frozenset({"aiohttp"}),
        never=SQL | CLOCK | CHANCE,
    ),
    "engine.venues.demo.client": Room(
        may=("engine.venues.demo", "engine.gateway.door"),
        libraries=frozenset({"aiohttp"}),
        never=SQL | CLOCK | CHANCE,
    ),
    "engine.venues.polymarket": Room(
        may=("engine.gateway.door",), libraries=EVERY_LIBRARY, never=SQL
    ),
    "engine.venues.ccxt": Room(may=("engine.gateway.door",), libraries=EVERY_LIBRARY, never=SQL),
    "engine.feeds": Room(may=("engine.gateway.door",), libraries=EVERY_LIBRARY, never=SQL),
    "engine.alerts": Room(libraries=frozenset({"apprise"}), never=SQL),
    "engine.jobs": Room(libraries=frozenset({"apscheduler"}), never=SQL),
    "engine.runtime.account_runner": DRIVER,
    "engine.live.main": DRIVER,
    # The live driver's parts: the loop's shells, the threads beside it, what it tells and is told.
    "engine.live.accounts": DRIVER,
    "engine.live.kill_bare": DRIVER,
    "engine.live.bot_runner": DRIVER,
    "engine.live.commands.orders": DRIVER,
    "engine.live.commands.dispatch": DRIVER,
    "engine.live.environment": DRIVER,
    "engine.live.commands.vault": DRIVER,
    "engine.venues.demo.plugin": DRIVER,
    "engine.venues.paper.door": DRIVER,
    "engine.live.commands.examination": DRIVER,
    "engine.venues.demo.streams": DRIVER,
    "engine.live.telemetry": DRIVER,
    "engine.live.first_start": DRIVER,
    "engine.live.gaps": DRIVER,
    "engine.live.engine": DRIVER,
    "engine.live.commands.jobs": DRIVER,
    "engine.live.kill": DRIVER,
    "engine.runtime.heartbeat": Room(never=PURE),
    "engine.live.lifecycle": DRIVER,
    "engine.live.commands.markets": DRIVER,
    "engine.runtime.markouts": DRIVER,
    "engine.runtime.meter": DRIVER,
    "engine.venues.paper.runner": DRIVER,
    "engine.venues.paper.plugin": DRIVER,
    "engine.live.tape_player": DRIVER,
    "engine.venues.polymarket.market.source": DRIVER,
    "engine.venues.polymarket.account.opener": DRIVER,
    "engine.venues.polymarket.account.heartbeat": DRIVER,
    "engine.venues.polymarket.account.door": DRIVER,
    "engine.venues.polymarket.hosts": DRIVER,
    "engine.venues.polymarket.market.catalog": DRIVER,
    "engine.venues.polymarket.market.routes": DRIVER,
    "engine.venues.polymarket.account.opener": DRIVER,
    "engine.venues.polymarket.account.user_stream": DRIVER,
    "engine.live.proof": DRIVER,
    "engine.live.reopen": DRIVER,
    "engine.runtime.recording": DRIVER,
    "engine.live.recordings": DRIVER,
    "engine.live.recordings": DRIVER,
    "engine.live.commands.kill": DRIVER,
    "engine.live.commands.settings": DRIVER,
    "engine.runtime.recovery": DRIVER,
    "engine.runtime.state_writer": DRIVER,
    "engine.live.tape": DRIVER,
    "engine.live.tape_engine": DRIVER,
    "engine.live.tape_options": DRIVER,
    "engine.live.tape_runner": DRIVER,
    "engine.live.telemetry": DRIVER,
    "engine.live.unlocked": DRIVER,
    "engine.live.checks": DRIVER,
    "engine.live.credentials": DRIVER,
    "engine.live.commands.vault": DRIVER,
    "engine.live.venues": DRIVER,
    "engine.lab": DRIVER,
    "engine.__main__": DRIVER,
    # Commands of the command line; they stand beside it and wire like it.
    "engine.cli.command": DRIVER,
    "engine.cli.demo": DRIVER,
    "engine.live.handover": DRIVER,
    "engine.cli.kill": DRIVER,
    "engine.cli.credentials": DRIVER,
    "engine.cli.doctor": DRIVER,
    "engine.cli.migrate": DRIVER,
    "engine.cli.quotes": DRIVER,
    "engine.cli.recover": DRIVER,
    "engine.cli.status": DRIVER,
    "engine.cli.selftest": DRIVER,
    "engine.venues.polymarket.checks.selftest_market": DRIVER,
    "engine.cli.unlock": DRIVER,
    "engine.cli.up": DRIVER,
    "storage": Room(
        libraries=frozenset(
            {"sqlmodel", "sqlalchemy", "sqlite_utils", "alembic", "orjson", "argon2"}
        ),
        opened=("engine.domain", "engine.errors"),
    ),
    "pages": Room(
        may=("storage", "engine.domain"),
        libraries=frozenset({"streamlit", "starlette", "plotly", "pandas", "itsdangerous"}),
        never=SQL,
    ),
    "app": Room(may=("pages.parts",), libraries=frozenset({"streamlit"}), never=SQL),
}


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
    if module.startswith("engine.") and module.count(".") == 1 and module not in ROOMS:
        return ""  # a new file at the root of the engine needs a row of its own
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        row = ".".join(parts[:length])
        if row in ROOMS and (length == len(parts) or row != "engine"):
            return row
    return ""


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(place + ".") for place in places)


def imports(tree: ast.AST, module: str, file: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Give (line, dotted target) of every import, at any depth, also those only for types."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
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
    if top in {"engine", "storage", "pages", "app"}:
        may = (*room.opened, *room.may)
        if row in {room_of(target), target} or within(target, may):
            return ""
        return f"{row} imports {target}; of this house it may import {', '.join(may) or 'nothing'}"
    if top in room.never or within(target, tuple(room.never)):
        return f"{row} imports {target}; it must never have {_kind(top)}"
    if top in sys.stdlib_module_names or top in OPEN_LIBRARIES:
        return ""
    if "*" in room.libraries or top in room.libraries:
        return ""
    listed = ", ".join(sorted(room.libraries | OPEN_LIBRARIES))
    return f"{row} imports {target}; of libraries it may import {listed}"


def _kind(top: str) -> str:
    kinds = {"SQL": SQL, "a clock": CLOCK, "randomness": CHANCE, "I/O": IO}
    return next(name for name, members in kinds.items() if top in members)


def violations(root: Path) -> list[str]:
    """Return `file:line: sentence` for every import that breaks the law."""
    found = []
    for file in sources(root):
        module = module_name(file, root)
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
        for line, target in imports(tree, module, file, root):
            sentence = objection(module, target)
            if sentence:
                found.append(f"{file.relative_to(root)}:{line}: {sentence}")
    return list(dict.fromkeys(found))


def test_every_import_keeps_the_law() -> None:
    found = violations(REPOSITORY)
    assert not found, "\n" + "\n".join(found)


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
    ("engine/alerts/x.py", "from engine.executor import ledger", "engine.alerts imports"),
    ("storage/views.py", "from engine.config import load", "storage imports engine.config"),
    ("storage/views.py", "import engine.lab.replay.run", "storage imports engine.lab.replay.run"),
    ("pages/risk/page.py", "from engine.executor import ledger", "pages imports engine.executor"),
    ("pages/risk/page.py", "import sqlite3", "pages imports sqlite3; it must never have SQL"),
    (
        "pages/bots/page.py",
        "from engine.strategies.registry import build",
        "engine.strategies.registry",
    ),
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
        ("engine/gateway/sender.py", "import asyncio\nfrom engine.gateway.core import GatewayCore"),
        ("engine/lab/x.py", "import time, polars, engine.bots.core, storage.views"),
        ("storage/views.py", "import sqlite3, sqlmodel\nfrom engine.domain.orders import Order"),
    ],
)
def test_lawful_import_is_left_alone(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    assert violations(tmp_path) == []
