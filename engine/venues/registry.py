"""The venues there are: every folder beside this file, or under `plugins/venues`, with a plug-in.

A folder whose `plugin.py` cannot be used is no reason not to trade elsewhere: its sentence is kept,
and told to whoever asks for that venue. Importing this loads nothing that signs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Container
from functools import cache
from pathlib import Path

from engine.config import Config
from engine.domain.catalog import Finding, VenueEntry
from engine.domain.settings import AccountSettings
from engine.errors import BadInput
from engine.runtime.credentials import Credential, environment_names
from engine.runtime.venue_plugin import AccountSpec, VenuePlugin, url_key

HERE = Path(__file__).parent
FOLDERS = [HERE, HERE.parents[1] / "plugins" / "venues"]
"""Where venues lie: with the product, and beside it."""


@cache
def found() -> tuple[dict[str, VenuePlugin], dict[str, str]]:
    """Return every plug-in by its venue, and a sentence for every folder that gives none."""
    plugins: dict[str, VenuePlugin] = {}
    broken: dict[str, str] = {}
    searched = sys.modules[__package__].__path__
    for folder in FOLDERS:
        if folder.is_dir() and str(folder) not in searched:
            searched.append(str(folder))
        for file in sorted(folder.glob("*/plugin.py")):
            name = file.parent.name
            try:
                plugins[name] = _loaded(name, file)
            except Exception as error:  # noqa: BLE001 whatever is wrong with it, the others trade
                why = str(error) or type(error).__name__
                broken[name] = f"the venue {name!r} cannot be used: {file}: {why}"
    return plugins, broken


def _loaded(name: str, file: Path) -> VenuePlugin:
    module = importlib.import_module(f"{__package__}.{name}.plugin")
    if Path(str(module.__file__)) != file:
        raise ValueError(f"there is a venue of this name already, {module.__file__}")
    plugin = getattr(module, "PLUGIN", None)
    if not isinstance(plugin, VenuePlugin):
        raise TypeError("it declares no PLUGIN of type VenuePlugin")
    if plugin.id != name:
        raise ValueError(f"its PLUGIN is of {plugin.id!r}: folder and id must be the same")
    return plugin


def plugins() -> dict[str, VenuePlugin]:
    return found()[0]


def entries() -> dict[str, VenueEntry]:
    return {name: one.entry() for name, one in plugins().items() if one.market is not None}


def credential_spec(venue: str) -> AccountSpec | None:
    """Return what a credential at a venue is like; None = nobody needs one there."""
    plugin = plugins().get(venue)
    specs = () if plugin is None else plugin.modes.values()
    return next((one for one in specs if one.credential_fields), None)


def expiry_refusal(account: AccountSettings, life_s: int | None) -> str:
    """Return why an account's quotes cannot live so long, as a sentence; empty = they can."""
    plugin = plugins().get(account.venue)
    spec = None if plugin is None else plugin.modes.get(account.mode)
    return "" if spec is None or spec.expiry is None else spec.expiry.refusal(life_s)


def credential_names() -> tuple[str, ...]:
    """Return every environment name under which a part of some venue's credential may stand."""
    return tuple(
        name
        for plugin in plugins().values()
        for spec in plugin.modes.values()
        if spec.credential_fields
        for name in environment_names(plugin.id, spec.credential_fields)
    )


def url_keys() -> dict[str, str]:
    return {
        url_key(plugin.id, name): address.meaning
        for plugin in plugins().values()
        for name, address in plugin.urls.items()
        if address.meaning
    }


def secret_names() -> tuple[str, ...]:
    """Return every environment name under which some venue's secret may stand."""
    besides = (name for plugin in plugins().values() for name in plugin.secrets)
    return (*credential_names(), *besides)


async def examined(config: Config, credential: Credential, known: Container[str]) -> list[Finding]:
    """Let the venue's doctor look at an account; `known` are the names of orders it has.

    Raises BadInput where the venue has none.
    """
    plugin, spec = plugins()[credential.venue], credential_spec(credential.venue)
    if spec is None or spec.examine is None:
        raise BadInput(f"{plugin.title} has no doctor: its accounts cannot be unlocked")
    return await spec.examine(plugin.setup(config), credential, known)


async def drifted(config: Config) -> dict[str, list[Finding]]:
    """Compare every venue that can be with what its adapter was proven with; by venue."""
    watched = {name: one for name, one in plugins().items() if one.canary is not None}
    return {name: await one.canary(one.setup(config)) for name, one in watched.items()}  # type: ignore[misc]
