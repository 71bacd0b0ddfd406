"""The account's secrets, in an object that cannot be shown, and what is wrong with them in words.

Nothing but the signing and the SDK's own transport reads them; `repr`, `str`, `format`, pickling
and every error of this room say `<hidden>` (architecture §12).
"""

from __future__ import annotations

import re
from typing import NoReturn

from engine.errors import ConfigError
from engine.runtime.credentials import Credential

_KEY = re.compile(r"(?:0[xX])?[0-9a-fA-F]{64}")
KEY_DIGITS = 64
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Credentials:
    """A signing key, the wallet it trades for, and the API key if one is known already.

    Give all three parts of an API key or none; without them the key is derived when the account
    opens. A relayer key is a key alone, or a builder's with secret and passphrase; without one the
    wallet's operations are done at the venue. Raises ConfigError with a sentence that names the
    field and never its value.
    """

    __slots__ = ("_api", "_private_key", "_relayer", "wallet")

    def __init__(
        self,
        *,
        private_key: str,
        wallet: str,
        api_key: str = "",
        api_secret: str = "",
        api_passphrase: str = "",
        relayer_key: str = "",
        relayer_secret: str = "",
        relayer_passphrase: str = "",
    ) -> None:
        if _KEY.fullmatch(private_key) is None:
            raise ConfigError("the private key must be 64 hex digits: copy it again, in full")
        if not 0 < int(private_key, 16) < _CURVE_ORDER:
            raise ConfigError("the private key is not valid on this curve: copy it again")
        self.check_wallet(wallet)
        parts = (api_key, api_secret, api_passphrase)
        if any(parts) and not all(parts):
            raise ConfigError(
                "an API key is a key, a secret and a passphrase, three parts: give all"
            )
        self.wallet = wallet
        self._private_key = "0x" + private_key[-KEY_DIGITS:]
        self._api = parts if all(parts) else None
        relayer = (relayer_key, relayer_secret, relayer_passphrase)
        if any(relayer) and not (all(relayer) or relayer[1:] == ("", "")):
            raise ConfigError(
                "a relayer key is one part, a builder's key, secret and passphrase are three: "
                "give one or all"
            )
        self._relayer = relayer if relayer_key else None

    @classmethod
    def of(cls, given: Credential) -> Credentials:
        """Return an account's secrets as the venue needs them. Raises ConfigError."""
        return cls(wallet=given.wallet, **given.secrets())

    @staticmethod
    def check_wallet(wallet: str) -> None:
        """Raise ConfigError where a text is no address."""
        if _ADDRESS.fullmatch(wallet) is None:
            raise ConfigError("the wallet must be an address of 0x and 40 hex digits")

    def private_key(self) -> str:
        """Return the signing key, for the signer alone."""
        return self._private_key

    def api(self) -> tuple[str, str, str] | None:
        """Return (key, secret, passphrase), for the transport alone; None = to be derived."""
        return self._api

    def relayer(self) -> tuple[str, str, str] | None:
        """Return (key, secret, passphrase) for the relayer alone; None = there is none."""
        return self._relayer

    def __repr__(self) -> str:
        return f"Credentials(wallet={self.wallet}, <hidden>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("credentials are not written anywhere")
