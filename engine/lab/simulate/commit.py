"""Which program ran: a seed says something only together with the commit it was run on."""

from __future__ import annotations

import subprocess
from pathlib import Path

UNKNOWN = "unknown: not a git checkout"


def commit(folder: Path) -> str:
    """Return the checkout's commit, with `-dirty` where files differ from it; else UNKNOWN."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],  # noqa: S607 whichever git the machine has
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN
    return described.stdout.strip() or UNKNOWN
