"""The venues there are: every folder beside this file with a `plugin.py`, and those of plug-ins.

One that cannot be used is no reason not to trade elsewhere: its sentence is kept, and is the answer
to whoever asks for that venue. Importing this loads nothing that signs.
"""

from __future__ import annotations

from collections.abc import Container
from functools import cache

from engine.config import Config
from engine.domain.catalog import Finding, VenueEntry
from engine.domain.settings import AccountSettings
from engine.errors import BadInput
from engine.plugins import Found, installed, problems, why_missing
from engine.plugins import found as found_files
from engine.runtime.credentials import Credential, environment_names
from engine.runtime.venue_plugin import AccountSpec, VenuePlugin, url_key

ROOM = "engine.venues"


@cache
def found() -> tuple[dict[str, VenuePlugin], dict[str, str]]:
    """Return every plug-in by its venue, and a sentence for every folder that gives none."""
    made: dict[str, VenuePlugin] = {}
    broken: dict[str, str] = {}
    for one in found_files("venue", ROOM, spare=True):
        why = _refusal(one, made)
        if why:
            broken.setdefault(one.name, f"the venue {one.name!r} cannot be used: {one.file}: {why}")
            if one.plugin:
                one.refuse(why)
        else:
            made[one.name] = one.module.PLUGIN
    for problem in problems():
        if problem.file.name == "plugin.py" and not problem.plugin:
            name = problem.file.parent.name
            broken.setdefault(name, f"the venue {name!r} cannot be used: {problem.sentence}")
    for plugin in installed():
        if plugin.files("venue") and plugin.name not in made:
            why = why_missing("venue", plugin.name)
            broken.setdefault(plugin.name, f"the venue {plugin.name!r} cannot be used: {why}")
    return made, broken


def _refusal(one: Found, made: dict[str, VenuePlugin]) -> str:
    """Return why a file's venue cannot be used; empty = it can."""
    plugin = getattr(one.module, "PLUGIN", None)
    if not isinstance(plugin, VenuePlugin):
        return "it declares no PLUGIN of type VenuePlugin"
    if plugin.id != one.name:
        return f"its PLUGIN is of {plugin.id!r}: folder and id must be the same"
    if one.name in made:
        return "there is a venue of this name already"
    return ""


def plugins() -> dict[str, VenuePlugin]:
    return found()[0]


def entries() -> dict[str, VenueEntry]:
    return {name: one.entry() for name, one in plugins().items() if one.market is not None}


def credential_spec(venue: str) -> AccountSpec | None:
    """Return what a credential at a venue is like; None = no account needs one there."""
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
