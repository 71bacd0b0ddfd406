"""The source of plug-ins' strategies as it was when they ran, by its digest.

The tape names the digest of each bot it adds. What happened then is played again with what ran
then, whatever the file says today.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from engine.errors import BadInput
from engine.in_time import IMPORT_S, in_time
from engine.plugins import Plugin
from engine.strategies.registry import LOADED, STRATEGIES

MODULE = "kept_source_"


def keep_sources(folder: Path, plugins: tuple[Plugin, ...]) -> None:
    """Keep the files of every plug-in that brings strategies. Touches the disk. Raises OSError."""
    for plugin in plugins:
        place = folder / plugin.digest
        if plugin.off or not plugin.files("strategies") or place.exists():
            continue
        beside = folder / f"{plugin.digest}.tmp"
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(plugin.folder, beside, ignore=shutil.ignore_patterns("__pycache__"))
        with suppress(FileExistsError):
            beside.replace(place)


def kind_then(folder: Path, name: str, code: str) -> type[object] | None:
    """Return the class of a strategy as it ran; None = it is the one that is known today.

    Raises BadInput where its source is not kept: then today's is the nearest there is.
    """
    known = STRATEGIES.get(name)
    if not code or (known is not None and LOADED.get(known, ("", ""))[1] == code):
        return None
    place = folder / code
    if not place.is_dir():
        raise BadInput(f"the source of {name!r} as it ran, {code}, is not kept in {folder}")
    package = f"{MODULE}{code}"
    if package not in sys.modules:
        sys.modules[package] = module = ModuleType(package)
        module.__path__ = [str(place)]
    held = in_time(lambda: _imported(package, name), f"its import of {name}", budget_s=IMPORT_S)
    kinds = [one for one in vars(held).values() if getattr(one, "name", "") == name]
    if not kinds:
        raise BadInput(f"the source of {name!r} as it ran, {code}, defines no such strategy")
    return type(kinds[0]) if not isinstance(kinds[0], type) else kinds[0]


def _imported(package: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{package}.strategies.{name}")
    except ModuleNotFoundError:
        return importlib.import_module(f"{package}.strategies.{name}.strategy")
