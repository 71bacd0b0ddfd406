"""Credentials of live accounts while an engine runs: who has one, who waits for one, who may trade.

A credential shows nothing of itself but the name it has at its venue. An account trades only where
its doctor was green and its phrase was typed, for the wallet of the credential it has now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple, NoReturn

from engine.domain.catalog import CredentialField
from storage.live_accounts import Unlock

LOCKED = (
    "its key lies in the vault, which is locked: type the passphrase on the Settings page, or "
    "`python -m engine credentials open`"
)


class Credential:
    """One account's secrets at one venue; `wallet` is what the venue knows the account by."""

    __slots__ = ("_secrets", "venue", "wallet")

    def __init__(self, venue: str, wallet: str, secrets: Mapping[str, str]) -> None:
        self.venue = venue
        self.wallet = wallet
        self._secrets = dict(secrets)

    def secret(self, name: str) -> str:
        """Return one secret, for what signs and what seals alone; empty = it has none."""
        return self._secrets.get(name, "")

    def secrets(self) -> dict[str, str]:
        return dict(self._secrets)

    def __repr__(self) -> str:
        return f"Credential({self.venue}, {self.wallet}, <hidden>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("credentials are not written anywhere")


def environment_names(venue: str, fields: Iterable[CredentialField]) -> tuple[str, ...]:
    return tuple(f"{venue}_{one}".upper() for one in ("account", *(one.name for one in fields)))


class LockedKey(NamedTuple):
    """A credential that lies in a locked vault. `venue` empty = it could not be read."""

    venue: str
    wallet: str


class Keys:
    """The credentials of one venue's accounts.

    `locked` are those in a vault that is not open: such an account is recovered and stands blind
    until `learn` brings its key. `why` says by account what keeps its key from being read, where it
    is not that the vault is locked.
    """

    def __init__(
        self,
        venue: str,
        fields: Iterable[CredentialField] = (),
        *,
        found: Mapping[str, Credential] = MappingProxyType({}),
        unlocks: Mapping[str, Unlock] = MappingProxyType({}),
        locked: Mapping[str, LockedKey] = MappingProxyType({}),
        why: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.venue = venue
        self._named = environment_names(venue, fields)[0]
        self._found = self._ours(found)
        self._unlocks = unlocks
        self._locked = {n: one.wallet for n, one in locked.items() if one.venue in ("", venue)}
        self._why = why
        self._waiting: dict[str, asyncio.Event] = {}

    def _ours(self, found: Mapping[str, Credential]) -> dict[str, Credential]:
        return {name: one for name, one in found.items() if one.venue == self.venue}

    @property
    def accounts(self) -> frozenset[str]:
        return frozenset(self._found) | frozenset(self._locked)

    @property
    def opens(self) -> bool:
        """True where one of them may be opened: what signs will be needed."""
        return any(not self.closed(name) for name in self.accounts)

    def credential(self, account: str) -> Credential | None:
        """Return what this start was given for an account, unlocked or not; None = nothing."""
        return self._found.get(account)

    def closed(self, account: str) -> str:
        """Return why an account must stay closed, as a sentence; empty = it may be opened."""
        found = self._found.get(account)
        wallet = self._locked.get(account) if found is None else found.wallet
        if wallet is None:
            return (
                f"account {account!r} is live and its key is missing: name it in {self._named} "
                "with its key and wallet and restart the engine (page Engine), or set a key and "
                "open the vault"
            )
        return unlocked(account, wallet, self._unlocks)

    def keyless(self, account: str) -> str:
        """Return why no key is at hand; empty = there is one. That it is locked does not matter."""
        if account in self._found:
            return ""
        if account in self._why or account in self._locked:
            return self._why.get(account, LOCKED)
        return self.closed(account)

    def waits(self, account: str) -> str:
        """Return why nothing can be asked for an account before a person acts; empty = it can."""
        if account not in self._found:
            return self._why.get(account, LOCKED)
        return self.closed(account) if account in self._waiting else ""

    async def awaited(self, account: str) -> Credential:
        if account not in self._found:
            waiting = self._waiting[account] = asyncio.Event()
            await waiting.wait()
            del self._waiting[account]
        return self._found[account]

    def knows(self, account: str, wallet: str) -> bool:
        """Say whether the credential of an entry of the vault is known here already."""
        known = self._found.get(account)
        return known is not None and known.wallet == wallet

    def learn(self, found: Mapping[str, Credential], unlocks: Mapping[str, Unlock]) -> None:
        """Take what an opened vault holds; a credential of this start is not replaced."""
        self._found = {**self._ours(found), **self._found}
        self._unlocks = unlocks

    def go_on(self) -> None:
        """Let the accounts connect whose credential has come. A lock set meanwhile stands."""
        for account, waiting in self._waiting.items():
            if account in self._found and not self.closed(account):
                waiting.set()


def unlocked(account: str, wallet: str, kept: Mapping[str, Unlock]) -> str:
    """Return why an account must stay closed, as a sentence; empty = it may be opened.

    Doctor and phrase are stored together, for one wallet, by `storage.live_accounts.unlock`.
    """
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
