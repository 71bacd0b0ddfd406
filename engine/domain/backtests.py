"""The document of a backtest: what is played, who trades it, with what, under which laws.

It is what the job `replay` takes, as one JSON object: by `engine backtest FILE`, from the page and
as a job the same document is the same run, to its digest. Its `bots` are those of the settings,
each with its own strategy, capital and sizing, at one account; without them one bot of `strategy`
trades with all of the cash.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import ValidationError

from engine.domain.jobs import ReplayJob, arguments_of
from engine.domain.money import MICRO
from engine.domain.plain import PlainDict
from engine.domain.settings import BotSettings, SettingsDocument, capital_micro
from engine.errors import BadInput

DOCUMENT_BYTES_MAX = 1_000_000
REPLAY = "replay"
"""The job, and what stands where a bot of the settings names its account."""

BAR_FILES = (".csv", ".csv.gz", ".zip")
"""How files of bars end."""


def read_document(text: str) -> ReplayJob:
    """Return what a document asks for. Raises BadInput naming the line, or the part of it."""
    if len(text) > DOCUMENT_BYTES_MAX:
        raise BadInput(f"{len(text):,} characters: a document has {DOCUMENT_BYTES_MAX:,} at most")
    try:
        given = json.loads(text)
    except ValueError as error:
        raise BadInput(f"not a document of a backtest: it is no JSON ({error})") from None
    if not isinstance(given, dict):
        raise BadInput('not a document of a backtest: one JSON object, as {"path": "…", "bots": …}')
    found = arguments_of(REPLAY, text)
    if not isinstance(found, ReplayJob):
        raise BadInput("a plug-in has taken the place of the job replay: switch it off")
    bots_of(found.bots, round(found.cash * MICRO))
    return found


def bots_of(given: Mapping[str, PlainDict], cash_micro: int) -> tuple[BotSettings, ...]:
    """Return the bots of a document; `cash_micro` is what they have together.

    Raises BadInput naming the bot: for a field, a filter, or more capital than there is cash.
    """
    found = []
    for name, fields in given.items():
        if fields.get("follows"):
            raise BadInput(
                f"bot {name}: it follows a saved filter, which goes by the listing of today: name "
                "its markets or series"
            )
        whole = {"capital": cash_micro / MICRO} | fields | {"name": name, "account": REPLAY}
        try:
            found.append(BotSettings.model_validate(whole))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BadInput(f"bot {name}: {place}: {first['msg']}") from None
    given_micro = capital_micro(found)
    if given_micro > cash_micro:
        raise BadInput(
            f"the bots are given {given_micro / MICRO:,g} together and the backtest has "
            f"{cash_micro / MICRO:,g}: give them less, or it more cash"
        )
    return tuple(found)


def document_of_bots(settings: SettingsDocument, names: tuple[str, ...], path: str) -> PlainDict:
    """Return a document that plays bots of these settings, as they are, over a recording.

    Their capitals are kept, the cash is their sum. A market of theirs must be in the recording: a
    file of bars has one, which takes the name of the market they all trade, where that is one.
    """
    chosen = [settings.bots[name] for name in names]
    document: PlainDict = {"path": path, "cash": sum(bot.capital for bot in chosen)}
    markets = sorted({name for bot in chosen for name in bot.instruments or ("",)})
    if path.endswith(BAR_FILES) and len(markets) == 1 and markets[0]:
        document["instrument"] = markets[0]
    return document | {"bots": {bot.name: stated_bot(bot) for bot in chosen}}


def stated_bot(bot: BotSettings) -> PlainDict:
    """Return a bot as a document names it: what differs from the defaults.

    A filter it follows stands in it, and is refused when it is read: without it the bot would trade
    whatever the recording lists.
    """
    return bot.model_dump(mode="json", exclude_defaults=True, exclude={"name", "account"})
