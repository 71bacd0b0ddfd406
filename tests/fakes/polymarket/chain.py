"""Gasless transactions: what was submitted, how far it is, and what its calls do to the ledger.

Calls that split, merge and redeem take effect when the transaction confirms; approvals always
stand (polymarket.md §6). A redemption of what is not resolved reverts, one of nothing does nothing.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from engine.domain.instruments import AccountId
from tests.fakes.polymarket.listing import LOT
from tests.fakes.polymarket.settings import S

if TYPE_CHECKING:
    from tests.fakes.polymarket.venue import Venue


def selector(text: str) -> bytes:
    """Return the first four bytes that name a call."""
    return bytes(keccak(text.encode())[:4])


CTF_ARGUMENTS = ["address", "bytes32", "bytes32", "uint256[]", "uint256"]
CALLS = {
    selector("splitPosition(address,bytes32,bytes32,uint256[],uint256)"): (1, CTF_ARGUMENTS),
    selector("mergePositions(address,bytes32,bytes32,uint256[],uint256)"): (-1, CTF_ARGUMENTS),
    selector("split(bytes31,uint256)"): (1, ["bytes31", "uint256"]),
    selector("merge(bytes31,uint256)"): (-1, ["bytes31", "uint256"]),
}
"""Selector → (what it does to the number of pairs, argument types)."""
REDEEMS = {
    selector("redeemPositions(address,bytes32,bytes32,uint256[])"): (
        2, ["address", "bytes32", "bytes32", "uint256[]"]
    ),
    selector("redeem(bytes31,uint256,uint256)"): (0, ["bytes31", "uint256", "uint256"]),
}  # fmt: skip
"""Selector → (which argument is the condition, argument types)."""


class Submitted(msgspec.Struct, kw_only=True):
    """One gasless transaction."""

    id: str
    wallet: str
    calls: list[bytes]
    at_ns: int
    done: bool = False
    error: str = ""


class Relayer:
    """Transactions under way and nonces."""

    def __init__(self) -> None:
        self.sent: dict[str, Submitted] = {}
        self.nonces: dict[str, int] = {}

    def take(self, venue: Venue, signer: str, wallet: str, calls: list[bytes]) -> Submitted:
        """Take a transaction of a signer; its nonce is used up."""
        number = len(self.sent) + 1
        name = sha256(f"{venue.settings.seed}/relay/{number}".encode()).hexdigest()[:32]
        made = Submitted(id=name, wallet=wallet, calls=calls, at_ns=venue.exchange.now_ns)
        self.sent[name] = made
        self.nonces[signer] = self.nonces.get(signer, 0) + 1
        return made

    def settle(self, venue: Venue, sent: Submitted) -> str:
        """Return the state of a transaction, doing what it does when it is time."""
        age_s = (venue.exchange.now_ns - sent.at_ns) / S
        if age_s < venue.settings.relayer_s:
            return "STATE_NEW" if age_s < venue.settings.relayer_s / 2 else "STATE_EXECUTED"
        if not sent.done:
            sent.done = True
            sent.error = next(filter(None, (_do(venue, sent, call) for call in sent.calls)), "")
            venue.drain()
        return "STATE_FAILED" if sent.error else "STATE_CONFIRMED"


def _redeem(venue: Venue, sent: Submitted, data: bytes) -> str:
    place, types = REDEEMS[data[:4]]
    try:
        condition = abi_decode(types, data[4:])[place]
    except DecodingError:
        return "execution reverted: bad calldata"
    market = venue.by_condition.get("0x" + condition.hex().ljust(64, "0"))
    account = AccountId(sent.wallet)
    if market is None or account not in venue.ledger.signers:
        return "execution reverted: unknown condition or wallet"
    if not market.resolved:
        return "execution reverted: result for condition not received yet"
    venue.exchange.clearing.redeeming.confirm(account, market.instrument, sent.id)
    return ""


def _do(venue: Venue, sent: Submitted, data: bytes) -> str:
    """Do one call; return why it reverted."""
    if data[:4] in REDEEMS:
        return _redeem(venue, sent, data)
    wallet = sent.wallet
    known = CALLS.get(data[:4])
    if known is None:
        return ""
    sign, types = known
    try:
        values = abi_decode(types, data[4:])
    except DecodingError:
        return "execution reverted: bad calldata"
    condition = values[2] if len(values) == 5 else values[0]
    market = venue.by_condition.get("0x" + condition.hex().ljust(64, "0"))
    account = AccountId(wallet)
    if market is None or account not in venue.ledger.signers or values[-1] % LOT:
        return "execution reverted: unknown condition, wallet or amount"
    size = sign * values[-1]
    if venue.exchange.convert(account, market.instrument, size, venue.exchange.now_ns):
        return ""
    return "execution reverted: SafeMath: subtraction overflow"
