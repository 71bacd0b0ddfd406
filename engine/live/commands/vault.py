"""The vault opened while the engine runs: its passphrase comes sealed for the engine alone.

Each start makes a key pair of its own and tells its public half. A page or the command line seals
the passphrase for it (HPKE, RFC 9180); what was sent can be opened by this process alone, and by
nobody once it has ended. Opening is Argon2id's work of half a second: it is done beside the loop.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Callable
from functools import partial
from sqlite3 import Connection

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from engine.domain.catalog import CredentialField
from engine.domain.commands import Answered, OpenVault, RemoveCredential, SetCredential
from engine.domain.instruments import Mode
from engine.domain.settings import AccountSettings
from engine.errors import BadInput, ConfigError, PitbossError, StorageError
from engine.live import vault
from engine.live.accounts import Accounts
from engine.live.commands.registry import (
    Answer,
    Done,
    Pending,
    Refused,
    answered_beside,
    command,
    part,
)
from engine.live.credentials import from_vault
from engine.live.engine import Engine
from engine.live.vault import SUITE
from engine.runtime.credentials import Keys
from engine.venues.registry import credential_spec
from storage.live_accounts import unlocks
from storage.vault import VaultEntry, read_vault, unlock_context

# Credentials set and forgotten on a running desk: kept in the vault, used from the next start on.
# What arrives is sealed already; this side of the engine neither needs nor has the key to it.

FINGERPRINT = re.compile(rf"[0-9a-f]{{{vault.FINGERPRINT_CHARS}}}")


@part
class VaultChanges:
    """Changes one engine's vault, off the loop and one change after another."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = asyncio.Lock()

    @command(SetCredential, RemoveCredential)
    def change(self, command: SetCredential | RemoveCredential, _who: str) -> Pending:
        """Change the vault; answered when it is on the disk. Raises BadInput, changing nothing."""
        path = self._engine.config.vault_path
        if isinstance(command, SetCredential):
            entry = self._entry(command)
            work = partial(vault.put, path, command.account, entry, self._engine.wall_ns())
            done = (
                f"the vault holds key {entry.fingerprint} for {command.account}; next: `python -m "
                f"engine unlock {command.account}`"
            )
        else:
            work = partial(vault.remove, path, command.account)
            done = f"removed the key of {command.account}; this engine keeps it until it ends"
        return answered_beside(self._engine, self._do(work, done))

    async def _do(self, work: Callable[[], None], done: str) -> Answer:
        async with self._turn:
            try:
                await asyncio.to_thread(work)
            except PitbossError as error:
                return Refused(str(error))
        return Done(done)

    def _entry(self, command: SetCredential) -> VaultEntry:
        account = self._engine.settings.document.accounts.get(command.account)
        if not _may_have_one(account, command.venue):
            raise BadInput(
                f"there is no live account {command.account!r} at {command.venue} in force: add "
                "it, save it and apply it first"
            )
        spec = credential_spec(command.venue)
        for field in spec.credential_fields if spec else ():
            if not field.secret:
                _checked(field, command.wallet)
        if not FINGERPRINT.fullmatch(command.fingerprint):
            raise BadInput("the fingerprint is not valid: reload the page and set the key again")
        try:
            sealed = base64.b64decode(command.sealed, validate=True)
        except binascii.Error:
            raise BadInput(
                "what was sent is not a sealed credential, so nothing was stored"
            ) from None
        return VaultEntry(
            venue=command.venue,
            wallet=command.wallet,
            fingerprint=command.fingerprint,
            added_ns=0,
            sealed=sealed,
        )


def _checked(field: CredentialField, value: str) -> None:
    try:
        field.check(value)
    except ConfigError as error:
        raise BadInput(str(error)) from None


def _may_have_one(account: AccountSettings | None, venue: str) -> bool:
    return account is not None and account.mode is Mode.LIVE and account.venue == venue


# -- Opening the vault: its key is sealed for this engine, one attempt after the other -------------

SEALED_CHARS_MAX = 4096
"""What is longer is no passphrase: it is cut, and does not open."""
WRONG_PAUSE_S = 1.0
"""After a wrong passphrase nothing else is tried for so long."""


@part
class VaultOpening:
    """Opens one engine's vault, one attempt after the other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._private = X25519PrivateKey.generate()
        self._public = self._private.public_key().public_bytes_raw()
        self.public_key = base64.b64encode(self._public).decode()
        """For which the passphrase is sealed; this start alone can read it."""
        self._turn = asyncio.Lock()

    @command(OpenVault)
    def open(self, command: OpenVault, _who: str) -> Pending:
        """Open the vault and the accounts whose keys lie in it. Raises BadInput, trying nothing."""
        engine, keys = self._engine, self._keys()
        vault = read_vault(engine.config.vault_path)
        if vault is None:
            raise BadInput("there is no vault yet: `python -m engine credentials set` makes one")
        if not vault.entries:
            raise BadInput("the vault is empty: set a key first")
        closed = [one.name for one in self._closed() if one.name in vault.entries]
        if not closed and all(
            any(one.knows(name, entry.wallet) for one in keys)
            for name, entry in vault.entries.items()
        ):
            raise BadInput("the vault is open already: every key in it is known to this engine")
        passphrase = self._unsealed(command.sealed)
        pending = Pending()
        engine.beside(self._do(passphrase, pending.done_or_failed))
        return pending

    def _keys(self) -> list[Keys]:
        keyed = self._engine.part(Accounts).venues.keyed()
        if not keyed:
            raise BadInput("this engine plays a tape: it opens no live account")
        return [one.keys for one in keyed.values() if one.keys is not None]

    def _closed(self) -> list[AccountSettings]:
        engine, keyed = self._engine, self._engine.part(Accounts).venues.keyed()
        return [
            one
            for one in engine.settings.document.accounts.values()
            if (one.venue, one.mode) in keyed and not engine.part(Accounts).is_open(one.name)
        ]

    def _unsealed(self, sealed: str) -> str:
        try:
            raw = base64.b64decode(sealed[:SEALED_CHARS_MAX], validate=True)
            plain = SUITE.decrypt(raw, self._private, info=unlock_context(self._public))
            return plain.decode()
        except (binascii.Error, InvalidTag, ValueError):
            raise BadInput(
                "what was sent was not sealed for this start of the engine: reload the page and "
                "type the passphrase again"
            ) from None

    # -- beside the loop, and back -----------------------------------------------------------------

    async def _do(self, passphrase: str, answer: Answered) -> None:
        """Stretch the passphrase, load what signs, then go on where files are read."""
        engine = self._engine
        async with self._turn:
            try:
                found = await asyncio.to_thread(from_vault, engine.config.vault_path, passphrase)
                for one in {entry.venue for entry in found.values()}:
                    await asyncio.to_thread(self._load, one)
            except PitbossError as error:
                await asyncio.sleep(WRONG_PAUSE_S)
                answer(False, str(error))
                return
        loop = asyncio.get_running_loop()
        document = engine.settings.document

        def learn(connection: Connection) -> None:
            kept = unlocks(connection, engine.engine_id)
            for keys in self._keys():
                keys.learn(found, kept)
            try:
                engine.part(Accounts).register(connection, document)
            except ConfigError as error:
                raise BadInput(str(error)) from error
            loop.call_soon_threadsafe(self._go_on, sorted(found), answer)

        engine.state.do(learn, refused=lambda why: loop.call_soon_threadsafe(answer, False, why))

    def _go_on(self, names: list[str], answer: Answered) -> None:
        for keys in self._keys():
            keys.go_on()
        self._engine.beside(self._open(names, answer))

    def _load(self, venue: str) -> None:
        for place, opener in self._engine.part(Accounts).venues.keyed().items():
            if place[0] == venue:
                opener.load()

    async def _open(self, names: list[str], answer: Answered) -> None:
        """Open the accounts that were closed, those with a past by the recovery of a start."""
        engine, opened, words = self._engine, list[str](), list[str]()
        async with self._turn:
            recovered = {
                one.name: await self._bring_up(one) for one in self._closed() if one.name in names
            }
        for name in names:
            account = engine.settings.document.accounts.get(name)
            if account is None or account.mode is not Mode.LIVE:
                continue
            recovery, why = recovered.get(name, ""), engine.part(Accounts).refusal(account)
            if engine.part(Accounts).is_open(name):
                opened.append(name)
                words += [recovery] if recovery else []
            else:
                words.append(f"{name} stays closed: {recovery or why}")
        done = f"the vault is open: {', '.join(opened) or 'no account'} connects"
        answer(True, "; ".join((done, *words)))

    async def _bring_up(self, settings: AccountSettings) -> str:
        """Open an account whose key has come; give what was recovered, or why it stays closed."""
        engine, name = self._engine, settings.name
        why = engine.part(Accounts).venues.refusal(settings)
        if why:
            return why
        try:
            past = await engine.part(Accounts).restore(engine, settings)
        except StorageError as error:
            return f"its past cannot be read: {error}; nothing was asked of its venue"
        # Nothing below waits: what was recalled is true at this moment, and no later.
        if engine.ended.done():
            return "the engine ends"
        if (
            engine.part(Accounts).is_open(name)
            or engine.settings.document.accounts.get(name) != settings
        ):
            return "its settings changed meanwhile: open the vault again"
        engine.part(Accounts).open(engine, settings, engine.clock.now_ns(), past)
        if past is None:
            return ""
        engine.log.info("account.recalled", account=name, **past.found.shown({}))
        return past.sentence()
