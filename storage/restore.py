"""A backup put back: checked, staged, and swapped in such that no moment of it can be traded on.

What stood is moved aside and kept. While files are being swapped a marker stands in the home, and
nothing starts beside it: the next `restore` finishes what one that was ended has begun.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import BadInput, StorageError
from storage.backup import MANIFEST, digest
from storage.files import OF_A_DATABASE, RESTORING, to_disk, under_way, write_whole

STAGED = ".restoring"


def checked(backup: Path) -> dict[str, Path]:
    """Return the files of a backup by name, each as its manifest has it. Raises BadInput."""
    try:
        manifest: Any = json.loads((backup / MANIFEST).read_text(encoding="utf-8"))
        files = {str(name): str(one["sha256"]) for name, one in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{backup} is no backup: its {MANIFEST} cannot be read ({error})") from None
    for name, expected in files.items():
        file = backup / name
        if Path(name).name != name or not file.is_file():
            raise BadInput(f"{backup} lacks {name}, which its {MANIFEST} names")
        if digest(file) != expected:
            raise BadInput(f"{file} is not what was backed up: its checksum differs. Use another")
    return {name: backup / name for name in files}


def staged(home: Path, files: Mapping[str, Path]) -> Path:
    """Copy files into a fresh folder of the home; return it. Raises StorageError."""
    folder = home / STAGED
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        for name, file in files.items():
            shutil.copyfile(file, folder / name)
            (folder / name).chmod(0o600)
    except OSError as error:
        raise StorageError(f"the backup cannot be copied to {folder}: {error}") from error
    return folder


def mark(home: Path, backup: str, aside: str) -> None:
    """Note that a swap begins: nothing starts from here on. Raises OSError."""
    for file in (home / STAGED).iterdir():
        to_disk(file)
    write_whole(home / RESTORING, json.dumps({"backup": backup, "aside": aside}).encode())


def swap(home: Path, targets: Sequence[Path]) -> Path:
    """Move what stands aside and the staged files in; return where it is kept. Do it again freely.

    Raises OSError; the marker stands until all of it is done.
    """
    aside, folder = home / under_way(home)["aside"], home / STAGED
    aside.mkdir(mode=0o700, exist_ok=True)
    for target in targets:
        if not (folder / target.name).exists():
            continue  # it is in its place already, or the backup has none
        for suffix in reversed(OF_A_DATABASE):
            old = Path(f"{target}{suffix}")
            if old.exists():
                old.replace(aside / old.name)
        to_disk(aside)
        (folder / target.name).replace(target)
        to_disk(target.parent)
    shutil.rmtree(folder, ignore_errors=True)
    (home / RESTORING).unlink()
    to_disk(home)
    return aside
