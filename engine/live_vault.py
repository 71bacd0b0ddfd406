"""Where the credentials of live accounts come from: the environment, and the vault.

Both are read once, at a start. The passphrase is taken out of the environment with the rest, or
typed; a vault that stays locked opens no account.
"""

from __future__ import annotations

import resource
from collections.abc import Container, MutableMapping
from pathlib import Path

from dotenv import dotenv_values

from engine.errors import ConfigError
from engine.live_credentials import take
from engine.vault import Unlocked
from engine.venues.polymarket.credentials import Credentials
from storage.vault import read_vault

PASSPHRASE = "VAULT_PASSPHRASE"  # noqa: S105 the name of the key


def take_all(
    environment: MutableMapping[str, str], file: Path, vault_path: Path
) -> dict[str, Credentials]:
    """Return every credential by account, and remove what is secret from the environment.

    A locked vault adds none. Raises ConfigError with the sentence that mends it, BadInput where the
    vault or a credential in it cannot be read.
    """
    keep_no_cores()
    passphrase = take_passphrase(environment, file)
    found = take(environment, file)
    for account, credentials in from_vault(vault_path, passphrase).items():
        if account in found:
            raise ConfigError(
                f"account {account!r} has a credential in the environment and one in the vault: "
                "remove one of them"
            )
        found[account] = credentials
    return found


def keep_no_cores() -> None:
    """Let this process never be written to disk whole: it holds secrets from here on."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def take_passphrase(environment: MutableMapping[str, str], file: Path) -> str:
    """Return the vault's passphrase from the environment or `.env`, once; empty = not given."""
    given = environment.pop(PASSPHRASE, "")
    if given or not file.exists():
        return given
    try:
        return dotenv_values(file, interpolate=False, encoding="utf-8").get(PASSPHRASE) or ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read ({type(error).__name__})") from None


def locked_wallets(path: Path, found: Container[str]) -> dict[str, str]:
    """Return whose keys the vault holds and nobody has read yet: wallet by account."""
    vault = read_vault(path)
    entries = {} if vault is None else vault.entries
    return {name: entry.wallet for name, entry in entries.items() if name not in found}


def from_vault(path: Path, passphrase: str) -> dict[str, Credentials]:
    """Return what the vault holds, by account; nothing where it is absent or stays locked."""
    vault = read_vault(path)
    if vault is None or not vault.entries or not passphrase:
        return {}
    opened = Unlocked(vault, passphrase)
    found: dict[str, Credentials] = {}
    for account, entry in vault.entries.items():
        secret = opened.open(account, entry)
        found[account] = Credentials(
            private_key=secret.private_key,
            wallet=entry.wallet,
            api_key=secret.api_key,
            api_secret=secret.api_secret,
            api_passphrase=secret.api_passphrase,
        )
    return found
