"""Recordings for the commands that play one."""

from __future__ import annotations

from tests.lab.conftest import make_recording, quoting, tape

__all__ = ["make_recording", "quoting", "tape"]
