"""A backup as its manifest says it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def differing(backup: Path) -> list[str]:
    """Return the files that are not what the manifest says of them."""
    manifest = json.loads((backup / "manifest.json").read_text(encoding="utf-8"))
    assert {file.name for file in backup.iterdir()} == {*manifest["files"], "manifest.json"}
    return [
        name
        for name, known in manifest["files"].items()
        if hashlib.sha256((backup / name).read_bytes()).hexdigest() != known["sha256"]
    ]
