"""What a dashboard that starts says in its log: what a person can act on, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = """
import logging
import pages.frame.server
logging.getLogger("streamlit.runtime.caching.cache_data_api").warning("another line")
"""


@pytest.mark.long
def test_loading_the_pages_says_nothing_and_silences_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=150
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("another line")
