"""What the venue says no with: its exact texts (polymarket.md §3.3), and the exception with them.

Texts that belong to the exchange's own rules stand in `engine.runtime.refusals`.
"""

from __future__ import annotations

from engine.runtime import refusals as rules

BAD_KEY = rules.BAD_KEY
BAD_L1 = "Invalid L1 Request headers"
NO_CREATE = "Could not create api key"
NO_DERIVE = "Could not derive api key!"
BAD_PAYLOAD = rules.BAD_PAYLOAD
BAD_SIGNATURE = "invalid signature"
BAD_ORDER_ID = "Invalid orderID"
VERSION_MISMATCH = "order_version_mismatch"
NOT_OWNER = "the order owner has to be the owner of the API KEY"
NOT_SIGNER = "the order signer address has to be the address of the API KEY"
EOA_REFUSED = "maker address not allowed, please use the deposit wallet flow"
MARKET_DECIMALS = (
    "invalid amounts, the market buy orders maker amount supports a max accuracy of 2 decimals, "
    "taker amount a max of 4 decimals"
)
LIMIT_DECIMALS = rules.BAD_DECIMALS
NO_BOOK = rules.NO_BOOK
BAD_TOKEN = "Invalid token id"
NO_MARKET = "market not found"
TOO_LONG = "Payload exceeds the limit"
TOO_MANY_CANCELS = "Too many orders in payload, max allowed: 1000"
TOO_MANY_REQUESTS = "Too Many Requests"
NOT_INSERTED = "could not insert order"
NOT_READY_MARKET = rules.NOT_READY
NOT_READY = "Service is not ready"
GONE = "order can't be found - already canceled or matched"


class Refused(Exception):
    """The venue's answer is an error: status and body."""

    def __init__(
        self,
        text: str,
        status: int = 400,
        *,
        extra: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.extra = extra or {}
        self.headers = headers or {}

    def body(self) -> dict[str, object]:
        """Return the body as the venue writes it."""
        return {"error": self.text, **self.extra}


def too_many_orders(count: int, most: int) -> str:
    """Return the text for a batch that is too long."""
    return f"Too many orders in payload: {count}, max allowed: {most}"


def banned(address: str) -> str:
    """Return the text for a banned address."""
    return f"'{address}' address banned"


def closed_only(address: str) -> str:
    """Return the text for an address that may only close."""
    return f"'{address}' address in closed only mode"
