"""One cell of the status bar."""

from __future__ import annotations

import msgspec


class StatusCell(msgspec.Struct, frozen=True, kw_only=True):
    """One cell. `tone`: ok, warn, bad, dim or empty; `used` 0…1 draws a bar below the value."""

    name: str
    value: str
    tone: str = ""
    hint: str = ""
    used: float | None = None
