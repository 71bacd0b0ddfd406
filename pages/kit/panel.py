"""Parts of a page that are drawn when they are opened: a form nobody opened costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

KEYS = (
    "fold_account",
    "fold_bot",
    "fold_by_hand",
    "fold_job",
    "fold_kill",
    "fold_limits",
    "fold_recording",
)
"""Every fold of this desk."""


@contextmanager
def fold(label: str, key: str, *, opened: bool = False, icon: str | None = None) -> Iterator[bool]:
    """Draw a fold; gives whether it is open, only then there is something to draw in it."""
    box = st.expander(label, expanded=opened, key=key, icon=icon, on_change="rerun")
    with box:
        yield bool(box.open)
