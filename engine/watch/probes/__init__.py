"""Probes: what is wrong with the desk's programs and the machine. One file a probe, found by scan.

A file says `PROBE = Name`, a class with `every_s` and `look(desk, now_ns)`, which gives the trouble
there is at this moment. What it gave stands until it looks again. A probe needs no engine and no
state database; it may remember things in `desk.meta`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Protocol

from engine.watch.desk import Desk, Trouble


class Probe(Protocol):
    """Looks at one thing."""

    every_s: float

    def look(self, desk: Desk, now_ns: int) -> Iterable[Trouble]: ...


def probes() -> dict[str, Probe]:
    """Return every probe, new, by the name of its file."""
    found = {}
    for file in pkgutil.iter_modules(__path__):
        made = getattr(importlib.import_module(f"{__name__}.{file.name}"), "PROBE", None)
        if made is not None:
            found[file.name] = made()
    return found
