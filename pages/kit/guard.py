"""Each part of a page fails for itself: a sentence where it would stand, the traceback in the log.

A row may be damaged, of an older program, or of one that was attacked: what cannot be drawn of it
takes nothing else with it, least of all KILL.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import streamlit as st

from engine.errors import PitbossError, StorageError
from pages.kit.markdown import literal

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)


def part(what: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Make a function that draws one that says why it cannot. `what` begins the sentence.

    Below `st.fragment`, never above it: a fragment draws itself without its callers.
    """

    def guarded(draw: Callable[P, None]) -> Callable[P, None]:
        @wraps(draw)
        def drawn(*given: P.args, **named: P.kwargs) -> None:
            try:
                draw(*given, **named)
            except Exception as error:  # noqa: BLE001 whatever a row holds
                report(what, error)

        return drawn

    return guarded


def tried(what: str, find: Callable[[], T], otherwise: T) -> T:
    try:
        return find()
    except Exception:  # noqa: BLE001 as above
        _log.exception("%s could not be found", what)
        return otherwise


def report(what: str, error: Exception) -> None:
    if isinstance(error, PitbossError):
        lost = " Nothing was changed or lost." if isinstance(error, StorageError) else ""
        st.error(
            f"**{literal(what)} cannot be read now.** {literal(error)}.{lost}",
            icon=":material/database_off:",
        )
        _log.warning("%s cannot be read: %s", what, error)
        return
    _log.error("%s cannot be drawn", what, exc_info=error)
    st.error(
        f"**{literal(what)} cannot be drawn.** A row behind it is not as expected "
        f"({literal(type(error).__name__)}). Nothing was changed or lost, and the rest of the desk "
        "goes on. The dashboard's log has the details; README's Recovery says how to "
        "repair a damaged row.",
        icon=":material/database_off:",
    )
