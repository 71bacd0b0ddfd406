"""What the accounts of a running engine are worth, beside what their bots would be given.

And in what they count it: a bot trades what is quoted in its account's currency.
"""

from __future__ import annotations

from engine.domain.bots import AT_REST
from engine.domain.instruments import AccountId, InstrumentId
from engine.domain.settings import (
    AccountSettings,
    BotSettings,
    SettingsDocument,
    capital_excess,
    capitals_refusal,
    first_equity_micro,
)
from engine.executor.halts import EQUITY
from engine.live.accounts import Accounts
from engine.live.engine import Engine
from engine.runtime.bot_runner import BotRunner


def uncounted(engine: Engine, account: AccountSettings, name: str) -> str:
    """Return why an account cannot count an instrument; empty = it can, or no terms are known."""
    for runner in engine.runners.values():
        terms = runner.core.executor.ledger.state.instruments.get(InstrumentId(name))
        if terms is not None:
            return terms.not_counted_in(account.currency)
    return ""


def _uncounted_of(engine: Engine, account: AccountSettings, bot: BotSettings) -> str:
    whys = (uncounted(engine, account, name) for name in bot.instruments)
    return next((f"bot {bot.name}: {why}" for why in whys if why), "")


def settings_refusal(engine: Engine, document: SettingsDocument) -> str:
    """Return why a version's bots do not fit their accounts; empty = they do.

    A bot that is new or changed trades what its account counts, and the bots of an account are
    together given no more than it has.
    """
    if why := document.strategies_refusal(engine.settings.document):
        return why
    before = engine.settings.document
    for name, bot in document.bots.items():
        account = document.accounts[bot.account]
        known = before.accounts.get(bot.account)
        same = before.bots.get(name) == bot and known and known.currency == account.currency
        if not same and (why := _uncounted_of(engine, account, bot)):
            return why
    return capitals_refusal(before, document, lambda one: _equity_micro(engine, one))


def start_refusal(engine: Engine, bot_runner: BotRunner) -> str | None:
    """Return why a bot may not be at work beside the others at its account; empty = it may.

    Its instruments must be counted there, and its capital must fit beside theirs.
    None = the equity of its account is not known yet.
    """
    runner = bot_runner.runner
    account = engine.settings.document.accounts.get(bot_runner.settings.account)
    if account is None:
        return f"account {bot_runner.settings.account} was removed"
    if why := _uncounted_of(engine, account, bot_runner.settings):
        return why
    equity_micro = _equity_micro(engine, account)
    if equity_micro is None:
        return None
    beside = [
        one.settings
        for one in engine.bot_runners.values()
        if one.runner is runner and (one is bot_runner or one.bot.state not in AT_REST)
    ]
    return capital_excess(account, beside, equity_micro)


def _equity_micro(engine: Engine, account: AccountSettings) -> int | None:
    """Return what an account is worth at risk marks; None = that is not known yet."""
    runner = engine.runners.get(AccountId(account.name))
    if runner is None:
        known = engine.part(Accounts).closed(account.name) is not None
        return None if known else first_equity_micro(account)
    executor = runner.core.executor
    if executor.recovering or (executor.ledger.held and EQUITY in executor.unhealthy):
        return None  # what is held has no mark yet
    return executor.equity_micro(engine.clock.now_ns())
