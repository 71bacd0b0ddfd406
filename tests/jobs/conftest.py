"""Recordings and a past for the jobs that replay them."""

from __future__ import annotations

from tests.lab.conftest import make_recording, quoting, tape
from tests.lab.incident.conftest import journal, past, played

__all__ = ["journal", "make_recording", "past", "played", "quoting", "tape"]
