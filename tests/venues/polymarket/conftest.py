"""A venue of its own for each test."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Iterator
from functools import cache

import pytest

from tests.fakes.polymarket.clock import Clock
from tests.fakes.polymarket.server import Served, serving
from tests.venues.polymarket.kit import quick


@pytest.fixture
def one_tls_context() -> Iterator[None]:
    """Let the official SDK's clients share one TLS context: it makes fourteen, and slowly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", _context)
        yield


@cache
def _context(**_: object) -> ssl.SSLContext:
    return ssl.create_default_context()


@pytest.fixture
async def still() -> AsyncIterator[Served]:
    """A venue whose clock moves only when it is told to, however slow the machine is."""
    async with serving(quick(), clock=Clock(time.time_ns())) as running:
        yield running
        running.venue.pump()
        assert running.venue.invariants()["problems"] == []


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """A running venue whose books must balance at the end of every test."""
    async with serving(quick()) as running:
        yield running
        running.venue.pump()
        assert running.venue.invariants()["problems"] == []
