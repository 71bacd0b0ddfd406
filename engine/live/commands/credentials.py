"""Credentials set and forgotten on a running desk: kept in the vault, used from the next start on.

What arrives is sealed already; this side of the engine neither needs nor has the key to it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Callable

from engine.domain.commands import RemoveCredential, SetCredential
from engine.domain.instruments import Mode
from engine.domain.settings import AccountSettings
from engine.errors import BadInput, PitbossError
from engine.live import vault
from engine.live.engine import Engine
from storage.vault import VaultEntry

Told = Callable[[bool, str], None]
WALLET = re.compile(r"0x[0-9a-fA-F]{40}")
FINGERPRINT = re.compile(rf"[0-9a-f]{{{vault.FINGERPRINT_CHARS}}}")


class Keeping:
    """Changes one house's vault, off the loop and one change after another."""

    def __init__(self, house: Engine) -> None:
        self._house = house
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def change(self, command: SetCredential | RemoveCredential, told: Told) -> None:
        """Change the vault, told when it is on the disk. Raises BadInput, changing nothing."""
        if isinstance(command, SetCredential):
            entry = self._entry(command)
            now_ns = self._house.wall_ns()

            def work() -> None:
                vault.put(self._house.config.vault_path, command.account, entry, now_ns)

            done = (
                f"the vault keeps key {entry.fingerprint} for {command.account}; next: "
                f"`python -m engine unlock {command.account}`"
            )
        else:

            def work() -> None:
                vault.remove(self._house.config.vault_path, command.account)

            done = f"forgot the key of {command.account}; this engine has it until it ends"
        task = asyncio.get_running_loop().create_task(self._do(work, done, told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, work: Callable[[], None], done: str, told: Told) -> None:
        async with self._turn:
            try:
                await asyncio.to_thread(work)
            except PitbossError as error:
                told(False, str(error))
                return
        told(True, done)

    def _entry(self, command: SetCredential) -> VaultEntry:
        account = self._house.settings.document.accounts.get(command.account)
        if not _may_have_one(account, command.venue):
            raise BadInput(
                f"there is no live account {command.account!r} at {command.venue} in force: add "
                "it, save it and apply it first"
            )
        if not WALLET.fullmatch(command.wallet):
            raise BadInput("the wallet must be an address of 0x and 40 hex digits")
        if not FINGERPRINT.fullmatch(command.fingerprint):
            raise BadInput("the fingerprint is none: load the page again and set the key anew")
        try:
            sealed = base64.b64decode(command.sealed, validate=True)
        except binascii.Error:
            raise BadInput(
                "what was sent is not sealed as a credential is: nothing was kept"
            ) from None
        return VaultEntry(
            venue=command.venue, wallet=command.wallet, fingerprint=command.fingerprint,
            added_ns=0, sealed=sealed,
        )  # fmt: skip


def _may_have_one(account: AccountSettings | None, venue: str) -> bool:
    return account is not None and account.mode is Mode.LIVE and account.venue == venue
