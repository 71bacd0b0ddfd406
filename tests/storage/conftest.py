from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from storage.database import writing
from storage.schema import migrate


@pytest.fixture(scope="session")
def empty_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("state") / "pitboss.db"
    migrate(path)
    return path


@pytest.fixture
def state(tmp_path: Path, empty_state: Path) -> Path:
    """Return the path of a migrated, empty state file."""
    return Path(shutil.copy(empty_state, tmp_path / "pitboss.db"))


@pytest.fixture
def connection(state: Path) -> Iterator[Connection]:
    """Return a writer's connection to `state`."""
    with writing(state) as opened:
        yield opened
