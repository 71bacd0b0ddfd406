"""An engine by its own constructor, of parts a test names: nothing of it runs or is written."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from engine.clock import WallClock
from engine.config import load
from engine.domain.settings import SettingsDocument
from engine.live.engine import Engine
from engine.runtime.aids import Notes
from storage.settings import SettingsVersion


def part(**more: object) -> Any:
    """Return a part that takes every row and record, and has no refusal."""
    given = {"failure": None, "halts": "", "seq": 0, "notes": Notes("test")}
    takes = {
        "append": lambda *_: 1,
        "watcher": lambda _: lambda _now_ns: None,
        "write_row": lambda *_: None,
        "put_row": lambda *_: None,
    }
    return SimpleNamespace(**{**given, **takes, **more})


def engine_of(home: str = "/nonexistent", **parts: Any) -> Any:
    """Return an engine; `parts` are those of `EngineWiring`, and `state` and `projector`."""
    state, projector = parts.pop("state", part()), parts.pop("projector", part())
    settings = SettingsVersion(
        version=0, base_version=0, at_ns=0, who="", document=SettingsDocument(), applied_ns=None
    )
    given = {
        "engine_id": "one",
        "clock": WallClock(),
        "settings": settings,
        **{name: part() for name in ("recorder", "taper", "decisions")},
        **parts,
    }

    async def made() -> Engine:
        engine = Engine(load({"PITBOSS_HOME": home}), **given)
        engine.state, engine.projector = state, projector
        return engine

    return asyncio.run(made())
