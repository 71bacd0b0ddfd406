"""Strategies of plug-ins while the engine runs: a new file is taken, a changed one if asked.

What people wrote is imported beside the loop. Its source is kept in the home by its digest, which
the tape names for each bot. A file that cannot be used is named with its line and hurts no other.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from engine.domain.catalog import StrategyEntry
from engine.domain.commands.strategies import UpdateStrategy
from engine.domain.words import many
from engine.errors import BadInput, os_sentence
from engine.live.commands.registry import Answer, Done, Pending, answered_beside, command, part
from engine.live.engine import Engine
from engine.plugins import folders, installed, problems
from engine.runtime.kept_sources import keep_sources
from engine.strategies.registry import (
    LOADED,
    STRATEGIES,
    StrategyKinds,
    entries,
    found_again,
    take_new,
)
from storage.catalog import put_catalog

LOOK_S = 2.0
LOOK_NS = int(LOOK_S * 1e9)
ALERT = "plugin"
Stamps = dict[Path, tuple[int, int]]


def stamps() -> Stamps:
    """Return size and time of change of every file of a plug-in's strategies. Touches the disk."""
    found: Stamps = {}
    for folder in folders():
        for file in (*folder.glob("*/strategies/*.py"), *folder.glob("*/strategies/*/*.py")):
            try:
                seen = file.stat()
            except OSError:
                continue  # it went away between the two
            found[file] = seen.st_mtime_ns, seen.st_size
    return found


def _changed_since_loaded() -> list[Path]:
    """Return the files of plug-ins that are not as they were loaded. Touches the disk."""
    loaded = dict(LOADED.values())
    return [
        file
        for plugin in installed()
        if loaded.get(plugin.name, plugin.digest) != plugin.digest
        for file in plugin.folder.glob("strategies/*.py")
    ]


def _plugin_of(kind: type[object]) -> str:
    """Return which plug-in brings a strategy; empty = it is the product's own."""
    return LOADED.get(kind, ("", ""))[0]


@part
class StrategyFiles:
    """Looks at the files every `LOOK_S`. On the loop's thread, but for what touches files."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._begun = False
        self._notes = engine.notes(ALERT)
        engine.watch_every(LOOK_NS, self.watch, on_tape=False)

    def watch(self, _now_ns: int) -> None:
        """Begin to look once the engine runs."""
        if not self._begun:
            self._begun = True
            self._engine.spawn(self._follow)

    async def _follow(self) -> None:
        await asyncio.to_thread(self._keep)
        # What came since the catalog was loaded, while the engine started, has changed, too.
        known, changed = Stamps(), await asyncio.to_thread(_changed_since_loaded)
        while True:
            await asyncio.sleep(LOOK_S)
            seen = await asyncio.to_thread(stamps)
            if seen != known:
                changed += [file for file, at in seen.items() if known.get(file, at) != at]
                known = seen
                await self.look(changed)
                changed = []

    async def look(self, changed: list[Path]) -> StrategyKinds:
        """Take what is new; tell of what is wrong, and of what changed and is known already."""
        wrong = {one.sentence for one in problems()}
        new = await asyncio.to_thread(self._load, "")
        fresh = {name: kind for name, kind in new.items() if name not in STRATEGIES}
        self._take(fresh)
        for problem in problems():
            if problem.sentence not in wrong:
                self._notes.add(problem.sentence)
        for plugin in sorted({file.parts[file.parts.index("strategies") - 1] for file in changed}):
            fresh |= await self._changed(plugin, {*fresh})
        return fresh

    async def _changed(self, plugin: str, fresh: set[str]) -> StrategyKinds:
        """Take a plug-in anew that no bot has a strategy of; tell of one that some bot has."""
        names = {name for name, kind in STRATEGIES.items() if _plugin_of(kind) == plugin} - fresh
        used = {one.settings.strategy for one in self._engine.bot_runners.values()} & names
        if names and not used:
            new = await asyncio.to_thread(self._load, plugin)
            self._take(new)
            return new
        for name in sorted(used):
            self._notes.add(
                f"the file of strategy {name} has changed: its bots run what they began with; "
                f"`engine command update-strategy strategy={name}` takes the new one"
            )
        return {}

    def _load(self, plugin: str) -> StrategyKinds:
        new = found_again(plugin)
        self._keep()
        return new

    def _keep(self) -> None:
        folder = self._engine.config.sources_folder
        try:
            keep_sources(folder, installed())
        except OSError as error:
            self._notes.add(f"sources cannot be kept in {folder}: {os_sentence(error)}")

    def _take(self, kinds: StrategyKinds) -> None:
        """Have the catalog know them: pages, bots and settings take them from now on."""
        if not kinds:
            return
        take_new(kinds)
        engine = self._engine
        engine.state.write_row(put_catalog, StrategyEntry, entries(), engine.clock.now_ns())

    @command(UpdateStrategy)
    def update(self, asked: UpdateStrategy, _who: str) -> Pending:
        """Take a changed file. Raises BadInput for what no plug-in brings."""
        plugin = _plugin_of(STRATEGIES.get(asked.strategy, object))
        if not plugin:
            raise BadInput(f"no plug-in brings a strategy {asked.strategy!r}")
        return answered_beside(self._engine, self._updated(asked.strategy, plugin))

    async def _updated(self, name: str, plugin: str) -> Answer:
        new = await asyncio.to_thread(self._load, plugin)
        if name not in new:
            wrong = [one.sentence for one in problems() if one.plugin == plugin]
            raise BadInput("; ".join(wrong) or f"the file of {name} is gone: nothing was changed")
        self._take(new)
        runners = self._engine.bot_runners.values()
        old = sum(one.settings.strategy == name and one.outdated for one in runners)
        later = f"; {many(old, 'bot')} run what they began with until they stop" if old else ""
        return Done(f"{name} is version {LOADED[new[name]][1]} now{later}")
