"""What the accounts are worth by the state file: for settings that give capital to bots."""

from __future__ import annotations

from sqlite3 import Connection

from engine.domain.instruments import Mode
from engine.domain.settings import (
    AccountSettings,
    SettingsDocument,
    capitals_refusal,
    first_equity_micro,
)
from storage.live import latest_equity

SEEN_NS_MAX = 3_600 * 1_000_000_000
"""How old the equity of a live account may be: a deposit is seen by a running engine alone."""


def capital_refusal(
    connection: Connection,
    engine_id: str,
    *,
    before: SettingsDocument,
    after: SettingsDocument,
    now_ns: int,
) -> str:
    """Return why a version gives an account's bots more than the account has; empty = it fits."""

    def equity_micro(account: AccountSettings) -> int | None:
        seen = latest_equity(connection, engine_id, account.name)
        if seen is None:
            return first_equity_micro(account)
        if account.mode is Mode.LIVE and abs(now_ns - seen.at_ns) > SEEN_NS_MAX:
            return None
        return seen.equity_micro

    return capitals_refusal(before, after, equity_micro)
