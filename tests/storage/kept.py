"""A backup as its manifest says it is; a decision log somebody changes behind the engine's back."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from storage.decisions import StoredRow, pack, unpack


def rewrite(log: Path, row: StoredRow) -> None:
    """Put a row in the place of the one that is kept under its number."""
    with closing(sqlite3.connect(log)) as connection, connection:
        for table, key in (("recent", "row"), ("blocks", "number")):
            for place, body in connection.execute(f"SELECT {key}, body FROM {table}").fetchall():
                rows = unpack(body)
                if any(one.row == row.row for one in rows):
                    mended = [row if one.row == row.row else one for one in rows]
                    connection.execute(
                        f"UPDATE {table} SET body = ? WHERE {key} = ?", (pack(mended), place)
                    )


def differing(backup: Path) -> list[str]:
    """Return the files that are not what the manifest says of them."""
    manifest = json.loads((backup / "manifest.json").read_text(encoding="utf-8"))
    assert {file.name for file in backup.iterdir()} == {*manifest["files"], "manifest.json"}
    return [
        name
        for name, known in manifest["files"].items()
        if hashlib.sha256((backup / name).read_bytes()).hexdigest() != known["sha256"]
    ]
