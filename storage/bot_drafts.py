"""The bot a person is making, step by step."""

from __future__ import annotations

import msgspec

from storage.page_drafts import PageDrafts


class BotDraft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was typed so far. An empty text = not chosen yet."""

    step: int = 0
    """The step that is open, the first is 0."""
    origin: str = ""
    """What it began with, in words: a bot that is duplicated, a backtest; empty = nothing."""
    account: str = ""
    instruments: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    follows: str = ""
    strategy: str = ""
    parameters: dict[str, object] = {}
    """Where they differ from the strategy's defaults."""
    capital: float = 100.0
    """In the account's currency."""
    own: dict[str, object] = {}
    """Further fields of the bot's settings, where they differ from their defaults."""
    sizing: dict[str, object] = {}
    data: str = ""
    """The recording or file of the preview."""
    cash: float = 1_000.0
    """Starting cash of the preview."""
    command: str = ""
    """Id of the command that asked for the preview; empty = none was asked for."""
    played: str = ""
    """What that preview is of: the arguments of its job as JSON."""
    name: str = ""
    turn: int = 0
    """How often its fields were filled anew, from a preset."""


BOT_DRAFTS = PageDrafts("bot_drafts", BotDraft, "bot")
