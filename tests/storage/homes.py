"""Homes that older versions left, a file for each schema, by its number.

`0021` traded on the demo exchange and on paper for ten minutes under the version that had that
schema; then came, through its own journal and projection, a market's payout and its redemption, a
split, a void fill, news before its fill, tokens taken in, a reward, alerts.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import zstandard

KEPT = Path(__file__).with_name("homes")


def schemas() -> list[str]:
    """Return the schemas of which a home is kept."""
    return sorted(file.name.partition(".")[0] for file in KEPT.glob("*.tar.zst"))


def lay(schema: str, folder: Path) -> Path:
    """Lay a kept home into a folder; return the folder."""
    packed = KEPT.joinpath(f"{schema}.tar.zst").read_bytes()
    raw = io.BytesIO(zstandard.ZstdDecompressor().stream_reader(packed).read())
    with tarfile.open(fileobj=raw) as archive:
        archive.extractall(folder, filter="data")
    return folder
