"""A watched home for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.watch.desks import Receiver, Watched, receiving


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Watched]:
    """A home with one webhook channel that writes down what leaves."""
    made = Watched(tmp_path / "home")
    made.add_channel("phone")
    yield made
    made.watch.stop(made.now_ns)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made
