"""Fakes of venues, found by scan: a venue's is `running` in `tests/venues/<id>/fake.py`.

A venue without such a file needs no server: it answers by itself, and takes a credential whose
fields are filled by their names.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from engine.config import Config
from engine.runtime.credentials import Credential
from engine.runtime.venue_plugin import VenuePlugin


class Fake(NamedTuple):
    """A venue's fake that runs, and a credential it takes."""

    config: Config
    urls: dict[str, str]
    credential: Credential | None = None


@asynccontextmanager
async def fake_of(name: str, plugin: VenuePlugin, folder: Path) -> AsyncIterator[Fake]:
    """Run the fake of a venue, with its files in `folder`."""
    place = f"tests.venues.{name}"
    if importlib.util.find_spec(place) and importlib.util.find_spec(f"{place}.fake"):
        async with importlib.import_module(f"{place}.fake").running(folder) as fake:
            yield fake
        return
    fields = {one.name for spec in plugin.modes.values() for one in spec.credential_fields}
    yield Fake(Config(), {}, Credential(name, "me", dict.fromkeys(fields, "abcdefgh")))
