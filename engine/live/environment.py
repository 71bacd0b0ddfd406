"""Secrets of live accounts from the environment: read once, then gone from it (architecture §12).

They end in the account's adapter and nowhere else. One account's fit into an environment; which one
they are of is said by name, so that they never reach another.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

from dotenv import dotenv_values

from engine.errors import ConfigError
from engine.venues.polymarket.account.credentials import Credentials

ACCOUNT = "POLYMARKET_ACCOUNT"
KEY = "POLYMARKET_PRIVATE_KEY"
WALLET = "POLYMARKET_WALLET"
API = ("POLYMARKET_API_KEY", "POLYMARKET_API_SECRET", "POLYMARKET_API_PASSPHRASE")
NAMES = (ACCOUNT, KEY, WALLET, *API)


def take(environment: MutableMapping[str, str], file: Path) -> dict[str, Credentials]:
    """Return the credentials by account, and remove them from the environment.

    The environment wins over the `.env` file. Raises ConfigError with the sentence that mends it.
    """
    given = {name: environment.pop(name, "") for name in NAMES}
    if file.exists():
        try:
            found = dotenv_values(file, interpolate=False, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} cannot be read ({type(error).__name__})") from None
        given = {name: value or found.get(name) or "" for name, value in given.items()}
    if not any(given.values()):
        return {}
    missing = [name for name in (ACCOUNT, KEY, WALLET) if not given[name]]
    if missing:
        raise ConfigError(
            f"a live account needs {ACCOUNT}, {KEY} and {WALLET}: {', '.join(missing)} is missing"
        )
    made = Credentials(
        private_key=given[KEY],
        wallet=given[WALLET],
        api_key=given[API[0]],
        api_secret=given[API[1]],
        api_passphrase=given[API[2]],
    )
    return {given[ACCOUNT]: made}
