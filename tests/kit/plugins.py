"""Plug-ins for a while: a test's own folders in place of what is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine import plugins


def forget() -> None:
    """Have every finder look anew."""
    plugins.forget()
    for module, finder in (("engine.venues.registry", "found"), ("pages", "found_pages")):
        if module in sys.modules:
            getattr(sys.modules[module], finder).cache_clear()


@contextmanager
def installed_from(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> Iterator[None]:
    """Install what lies in these folders, and nothing else.

    What is found while a module is imported (strategies, commands, jobs, alerts) stays as it was.
    """
    with monkeypatch.context() as patch:
        patch.setattr(plugins, "FOLDER", folders[0])
        patch.setenv(plugins.FOLDERS_KEY, ":".join(map(str, folders[1:])))
        forget()
        yield
    forget()


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files of plug-ins, by their path below a folder; return the folder."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder
