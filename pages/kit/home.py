"""Where this dashboard's state is: the configuration, read from the environment and `.env`."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from pathlib import Path

from engine.config import Config, keys, load


def config() -> Config:
    """Return the configuration. Raises ConfigError with the sentence that mends it."""
    given = {key: value for key, value in os.environ.items() if key in keys()}
    return _loaded(tuple(sorted(given.items())))


@lru_cache(maxsize=8)
def _loaded(given: tuple[tuple[str, str], ...]) -> Config:
    return load(dict(given), Path(".env"))


# -- The one place where the dashboard asks what time it is --


def now_ns() -> int:
    """Return ns UTC."""
    return time.time_ns()


def this_minute() -> int:
    """Return when this minute began: what is asked as of then is found in the cache."""
    return now_ns() // 60_000_000_000 * 60_000_000_000
