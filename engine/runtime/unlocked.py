"""Whether a live account may be opened: its doctor was green and its phrase was typed.

Both are stored together, for one wallet, by `storage.live_accounts.unlock`; nothing else opens one.
"""

from __future__ import annotations

from collections.abc import Mapping

from storage.live_accounts import Unlock


def unlocked(account: str, wallet: str, kept: Mapping[str, Unlock]) -> str:
    """Return why an account must stay closed, as a sentence; empty = it may be opened."""
    found = kept.get(account)
    if found is None:
        return (
            f"account {account!r} is live and locked: its doctor must be green and its phrase typed"
        )
    if found.wallet != wallet.lower():
        return (
            f"account {account!r} was unlocked for the wallet {found.wallet}, its credential names "
            f"{wallet}: let the doctor look at this one, and type the phrase again"
        )
    return ""
