"""Where the credentials of live accounts come from: the environment, and the vault.

Both are read once, at a start. The passphrase is taken out of the environment with the rest, or
typed; a vault that stays locked opens no account.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path

from dotenv import dotenv_values

from engine.errors import ConfigError
from engine.live.environment import take
from engine.live.handover import PASSPHRASE, keep_to_itself
from engine.live.vault import Secret, Unlocked
from engine.venues.polymarket.account.credentials import Credentials
from storage.vault import read_vault

NOWHERE = Path(os.devnull)


def take_all(
    environment: MutableMapping[str, str],
    file: Path,
    vault_path: Path,
    spared: dict[str, str] | None = None,
) -> dict[str, Credentials]:
    """Return every credential by account, and remove what is secret from the environment.

    A locked vault adds none. Raises ConfigError with the sentence that mends it, BadInput where the
    vault or a credential in it cannot be read. Given `spared`, nothing is raised: what could not be
    read stands there as a sentence by account, under "" where it may be anybody's.
    """
    keep_to_itself()
    alone = dict(environment)
    passphrase, found = "", dict[str, Credentials]()
    with sparing(spared):
        passphrase = take_passphrase(environment, file)
    with sparing(spared):
        found = take(environment, file)
    if spared and not found:
        with suppress(ConfigError):  # it is told already; the environment alone may be whole
            found = take(alone, NOWHERE)
    for account, credentials in from_vault(vault_path, passphrase, spared).items():
        if account not in found:
            found[account] = credentials
            continue
        if spared is None or found[account].wallet != credentials.wallet:
            del found[account]
            with sparing(spared, account):
                raise ConfigError(
                    f"account {account!r} has a credential in the environment and one in the "
                    "vault: remove one of them"
                )
    return found


@contextmanager
def sparing(spared: dict[str, str] | None, *accounts: str) -> Iterator[None]:
    """Note what is raised, whatever it is, for the accounts it concerns; None = let it through."""
    try:
        yield
    except Exception as error:
        if spared is None:
            raise
        for account in accounts or ("",):
            spared[account] = str(error) or type(error).__name__


def take_passphrase(environment: MutableMapping[str, str], file: Path) -> str:
    """Return the vault's passphrase from the environment or `.env`, once; empty = not given."""
    given = environment.pop(PASSPHRASE, "")
    if given or not file.exists():
        return given
    try:
        return dotenv_values(file, interpolate=False, encoding="utf-8").get(PASSPHRASE) or ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read ({type(error).__name__})") from None


def locked_wallets(
    path: Path, found: Container[str], spared: dict[str, str] | None = None
) -> dict[str, str]:
    """Return whose keys the vault holds and nobody has read yet: wallet by account.

    `spared` as with `take_all`.
    """
    vault = None
    with sparing(spared):
        vault = read_vault(path)
    entries = {} if vault is None else vault.entries
    return {name: entry.wallet for name, entry in entries.items() if name not in found}


def from_vault(
    path: Path, passphrase: str, spared: dict[str, str] | None = None
) -> dict[str, Credentials]:
    """Return what the vault holds, by account; nothing where it is absent or stays locked.

    `spared` as with `take_all`.
    """
    vault, opened = None, None
    with sparing(spared):
        vault = read_vault(path)
    if vault is None or not vault.entries or not passphrase:
        return {}
    with sparing(spared, *vault.entries):
        opened = Unlocked(vault, passphrase)
    found: dict[str, Credentials] = {}
    for account, entry in () if opened is None else vault.entries.items():
        with sparing(spared, account):
            found[account] = _credentials(opened.open(account, entry), entry.wallet)
    return found


def _credentials(secret: Secret, wallet: str) -> Credentials:
    return Credentials(
        private_key=secret.private_key,
        wallet=wallet,
        api_key=secret.api_key,
        api_secret=secret.api_secret,
        api_passphrase=secret.api_passphrase,
    )
