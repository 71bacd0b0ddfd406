"""A venue of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.polymarket.server import Served, serving
from tests.venues.polymarket.kit import quick


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """A running venue whose books must balance at the end of every test."""
    async with serving(quick()) as running:
        yield running
        running.venue.pump()
        assert running.venue.invariants()["problems"] == []
