"""What the accounts of a running engine are worth, beside what their bots would be given."""

from __future__ import annotations

from engine.domain.bots import AT_REST
from engine.domain.instruments import AccountId
from engine.domain.settings import (
    AccountSettings,
    SettingsDocument,
    capital_excess,
    capitals_refusal,
    first_equity_micro,
)
from engine.executor.halts import EQUITY
from engine.live.accounts import Accounts
from engine.live.engine import Engine
from engine.runtime.bot_runner import BotRunner


def settings_refusal(engine: Engine, document: SettingsDocument) -> str:
    """Return why a version gives an account's bots more than the account has; empty = it fits."""
    return capitals_refusal(
        engine.settings.document, document, lambda one: _equity_micro(engine, one)
    )


def start_refusal(engine: Engine, bot_runner: BotRunner) -> str | None:
    """Return why a bot may not be at work beside the others at its account; empty = it may.

    None = the equity of its account is not known yet.
    """
    runner = bot_runner.runner
    account = engine.settings.document.accounts.get(bot_runner.settings.account)
    if account is None:
        return f"account {bot_runner.settings.account} was removed"
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
