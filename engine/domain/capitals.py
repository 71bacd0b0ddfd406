"""The law of capitals: the bots of an account may not be given more than the account is worth.

Each bot is bound to its own capital; where they are together more than the equity, the account can
lose what no bot was meant to risk, and the bots take each other's cash. So the sum is judged when
a bot is created, changed or started. What a bot at work lost since then stops no bot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from engine.domain.instruments import Mode
from engine.domain.money import MICRO
from engine.domain.settings import AccountSettings, BotSettings, SettingsDocument


def capital_micro(bots: Iterable[BotSettings]) -> int:
    """Return the sum of the bots' capitals, in micro-units of their account's currency."""
    return sum(round(bot.capital * MICRO) for bot in bots)


def first_equity_micro(account: AccountSettings) -> int | None:
    """Return what an account nobody opened yet begins with; None = its venue alone knows."""
    return None if account.mode is Mode.LIVE else round(account.starting_cash * MICRO)


def excess(account: AccountSettings, bots: Iterable[BotSettings], equity_micro: int) -> str:
    """Return why these bots are too much for an account, with both numbers; empty = they fit."""
    given = tuple(bots)
    wanted = capital_micro(given)
    if wanted <= equity_micro:
        return ""
    names = ", ".join(sorted(bot.name for bot in given))
    return (
        f"the capital of the bots at account {account.name} ({names}) would be "
        f"{_amount(wanted)} {account.currency}, its equity is {_amount(equity_micro)} "
        f"{account.currency}: give them less, or stop one"
    )


def _amount(micro: int) -> str:
    return f"{Decimal(micro).scaleb(-6).normalize():,f}"


def refusal(
    before: SettingsDocument,
    after: SettingsDocument,
    equity_micro_of: Callable[[AccountSettings], int | None],
) -> str:
    """Return why bots that are new or changed are too much for their account; empty = they fit.

    `equity_micro_of` gives None where an equity is not known yet: it is judged when the bot
    starts. A version that gives an account's bots less than the one before passes: it is the way
    out for those that are too much already.
    """
    for name, account in after.accounts.items():
        bots = [bot for bot in after.bots.values() if bot.account == name]
        earlier = [bot for bot in before.bots.values() if bot.account == name]
        if all(before.bots.get(bot.name) == bot for bot in bots):
            continue
        if capital_micro(bots) < capital_micro(earlier):
            continue
        equity_micro = equity_micro_of(account)
        if equity_micro is not None and (why := excess(account, bots, equity_micro)):
            return why
    return ""
