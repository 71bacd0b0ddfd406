"""The moment that is asked for: read from what a person types, held against the journal."""

from __future__ import annotations

import datetime as dt
import re

import msgspec

from engine.domain.jobs import IncidentJob
from engine.errors import BadInput, ConfigError
from engine.log import iso
from storage.incidents import Span

US = 1_000
SECOND_NS = 1_000_000_000
UNITS_NS = {"ms": 1_000_000, "s": SECOND_NS, "m": 60 * SECOND_NS, "h": 3_600 * SECOND_NS}
AROUND_NS_MAX = 3_600 * SECOND_NS
"""Longest time shown on either side of a moment: a page of hours is no moment any more."""

SLACK_NS = 10 * SECOND_NS
"""How far a moment may lie beside the journal: an alert comes a moment after its cause."""

NS_DIGITS_MIN = 16


class IncidentWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A moment and the time around it, in ns UTC."""

    at_ns: int
    begin_ns: int
    end_ns: int


def read_at(text: str) -> int:
    """Return a time in ns UTC: ISO-8601, or whole ns. Raises ConfigError saying how to write it."""
    if text.isdecimal() and len(text) >= NS_DIGITS_MIN:
        return int(text)
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no moment: write a time as 2026-03-01T12:30:05Z, with a fraction where "
            "you need one, or as ns since 1970"
        ) from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=dt.UTC)
    whole = int(at.replace(microsecond=0).timestamp())
    return whole * SECOND_NS + at.microsecond * 1_000


def read_around(text: str) -> int:
    """Return a length in ns: 120s, 2m, 500ms. Raises ConfigError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text.strip())
    around_ns = int(float(found[1]) * UNITS_NS[found[2]]) if found else 0
    if not 0 < around_ns <= AROUND_NS_MAX:
        raise ConfigError(
            f"--around {text!r}: write a length as 500ms, 120s or 2m, at most "
            f"{AROUND_NS_MAX // UNITS_NS['h']}h"
        )
    return around_ns


def window(at_ns: int, around_ns: int, span: Span) -> IncidentWindow:
    """Return the time that is shown. Raises BadInput where the journal does not tell of it."""
    if not span.first_ns - SLACK_NS <= at_ns <= span.last_ns + SLACK_NS:
        raise BadInput(
            f"the journal covers {iso(span.first_ns)} to {iso(span.last_ns)}: {iso(at_ns)} is "
            "outside of it" + f"; {span.gone}" * bool(span.gone and at_ns < span.first_ns)
        )
    # Steps are stamped in µs since the beginning: on a whole µs both ends of the sum are exact.
    begin_ns = (at_ns - around_ns) // US * US
    return IncidentWindow(at_ns=at_ns, begin_ns=begin_ns, end_ns=at_ns + around_ns)


def of_job(job: IncidentJob) -> tuple[int, int]:
    """Return a job's moment and the length around it, in ns."""
    return read_at(job.at), job.around_s * SECOND_NS
