"""Evidence that is shipped, for a test: rows of its own in place of the program's."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.domain.evidence import EvidenceRow
from storage import evidence


def ship(monkeypatch: pytest.MonkeyPatch, folder: Path, *rows: EvidenceRow) -> Path:
    """Have these rows be the shipped ones; return their file."""
    monkeypatch.setattr(evidence, "SHIPPED", folder / "shipped.json")
    return evidence.ship_evidence(rows)
