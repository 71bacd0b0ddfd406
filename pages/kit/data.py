"""How a page asks: a reader per visit, rows shared by tabs for a second, errors as sentences."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from engine.domain.plain import PlainDict
from pages.kit.home import config
from storage.database import reading
from storage.views.frame import HEARTBEAT_AGE_NS_MAX, SECOND_NS, EngineSeen, engine_of

T = TypeVar("T")


@st.cache_data(ttl=1.0, max_entries=512, show_spinner=False)
def _asked(
    path: str,
    view: str,  # noqa: ARG001 the key of the cache; `_view` is what it names
    arguments: tuple[Any, ...],
    named: PlainDict,
    _view: Any,
) -> Any:
    """Rows are cached, never a connection."""
    with reading(Path(path)) as connection:
        return _view(connection, *arguments, **named)


def fresh(view: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Return what a view of `storage` gives, at most a second old. Raises StorageError."""
    name = f"{view.__module__}.{view.__qualname__}"
    found: T = _asked(str(config().state_path), name, arguments, named, view)
    return found


@st.cache_data(ttl=30.0, max_entries=64, show_spinner=False)
def _asked_seldom(path: str, view: str, named: PlainDict, _view: Any) -> Any:  # noqa: ARG001 the key, as above
    with reading(Path(path)) as connection:
        return _view(connection, **named)


def ask_seldom(view: Callable[..., T], **named: Any) -> T:
    """Return what a view of many rows gives, half a minute old at most. Raises StorageError."""
    name = f"{view.__module__}.{view.__qualname__}"
    found: T = _asked_seldom(str(config().state_path), name, named, view)
    return found


ask = fresh
"""What a page asks by: where it cannot be read, the part that asked says so (`guard.part`)."""


def engine_id() -> str:
    """Return whose orders, settings and commands the pages show."""
    return ask(engine_of)


def forget() -> None:
    _asked.clear()
    _asked_seldom.clear()


# -- Whether an engine runs, judged by its heartbeat and its process: what every page asks fi --

LATE_NS = 3 * SECOND_NS
FUTURE_NS = 2 * SECOND_NS
"""A heartbeat further ahead than this says that a clock jumped: it proves nothing."""


class EngineHealth(StrEnum):
    """What is known of the engine. Only RUNNING and LATE may show its figures as present ones."""

    RUNNING = "running"
    LATE = "late"
    GONE = "gone"
    """No fresh heartbeat, or its process does not exist."""
    NEVER = "never"
    """No engine has ever written here."""

    @property
    def alive(self) -> bool:
        """True where the engine's figures are of now."""
        return self in {EngineHealth.RUNNING, EngineHealth.LATE}


def health_of(engine: EngineSeen | None, now_ns: int) -> EngineHealth:
    if engine is None:
        return EngineHealth.NEVER
    age = now_ns - engine.heartbeat_ns
    if not -FUTURE_NS <= age <= HEARTBEAT_AGE_NS_MAX or not _exists(engine.pid):
        return EngineHealth.GONE
    return EngineHealth.LATE if age > LATE_NS else EngineHealth.RUNNING


def _exists(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it exists and belongs to somebody else
    return True
