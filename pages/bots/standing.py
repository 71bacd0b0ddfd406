"""What a bot that runs comes to: it may quote, it rests, or its markets are another's."""

from __future__ import annotations

from typing import NamedTuple

from engine.domain.decisions import Rest
from engine.domain.telemetry import WatchedMarket
from pages.kit.data import ask, engine_id
from pages.kit.names import market
from pages.kit.words import count, moment
from storage.live import watched_by

RUNNING = "RUNNING"
"""The one state in which a bot is evaluated; in every other its latest evaluation is of before."""


def taken_words(watched: WatchedMarket) -> str:
    return f"{watched.taken_by} trades it in this account and was first: this bot places nothing"


def rest_words(rest: Rest) -> str:
    return f"opens nothing until {moment(rest.until_ns)}: {rest.why}"


class Standing(NamedTuple):
    """What a bot comes to now, in a word for the list, and why for its own part of the page."""

    said: str
    why: str = ""


def standing(bot: str, now: int) -> Standing:
    """Return what a bot that runs comes to: RUNNING is said of one that may quote in some market.

    One that watches no market now is no exception: it quotes as soon as one is listed.
    """
    watched = [one for one in ask(watched_by, engine_id(), bot) if not one.reduce_only]
    rests = [one.rest for one in watched if one.rest is not None and now < one.rest.until_ns]
    taken = [one for one in watched if one.taken_by]
    if watched and len(taken) == len(watched):
        whys = (f"{market(one.instrument)}: {taken_words(one)}" for one in taken[:3])
        return Standing("MARKET TAKEN", ". ".join(whys))
    # Of those that are left to it: one that is taken cannot be quoted whether it rests or not.
    if rests and all(one.taken_by or one.rest in rests for one in watched):
        first = min(rests, key=lambda rest: rest.until_ns)
        return Standing(f"RESTING until {moment(first.until_ns)}", f"It {rest_words(first)}")
    of = f"of {count(len(watched), 'market')}"
    parts = [f"It rests in {len(rests)} {of}"] if rests else []
    if taken:
        parts.append(f"Another of this account was first in {len(taken)} {of}")
    return Standing(RUNNING, ". ".join(parts))
