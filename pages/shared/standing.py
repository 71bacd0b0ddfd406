"""What a bot that runs comes to: it may quote, or it rests."""

from __future__ import annotations

from typing import NamedTuple

from engine.domain.decisions import Rest
from pages.kit.data import ask, engine_id
from pages.kit.words import count, moment, nearby
from storage.live import unlisted_by, watched_by

RUNNING = "RUNNING"
"""The one state in which a bot is evaluated; in every other its latest evaluation is of before."""

NOT_LISTED = "RUNNING, MARKET NOT LISTED"


def rest_words(rest: Rest) -> str:
    return f"opens nothing until {moment(rest.until_ns)}: {rest.why}"


class Standing(NamedTuple):
    """What a bot comes to now, in a word for the list, and why for its own part of the page."""

    said: str
    why: str = ""


def standing(bot: str, now: int) -> Standing:
    """Return what a bot that runs comes to: RUNNING is said of one that may quote in some market.

    One that watches no market now is no exception: it quotes as soon as one is listed. Where it
    names one that its venue has not listed, that is why.
    """
    missing = ask(unlisted_by, engine_id(), bot).get(bot, "")
    if missing:
        return Standing(NOT_LISTED, missing[:1].upper() + missing[1:])
    watched = [one for one in ask(watched_by, engine_id(), bot) if not one.reduce_only]
    rests = [one.rest for one in watched if one.rest is not None and now < one.rest.until_ns]
    if rests and all(one.rest in rests for one in watched):
        first = min(rests, key=lambda rest: rest.until_ns)
        said = f"RESTING until {nearby(first.until_ns, now)}"
        return Standing(said, f"It {rest_words(first)}")
    of = f"of {count(len(watched), 'market')}"
    return Standing(RUNNING, f"It rests in {len(rests)} {of}" if rests else "")
