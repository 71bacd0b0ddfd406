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
from engine.venues.demo.orders import Converted
from engine.venues.demo.timeline import TimelineEntry
from tests.fakes.polymarket.listing import LOT, Listed
from tests.fakes.polymarket.refusal import Refused
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
ROUTER_REDEEM = ["bytes31", "uint256", "uint256"]
"""Condition, outcome, amount."""
REDEEMS = {
    selector("redeemPositions(address,bytes32,bytes32,uint256[])"): (
        2, ["address", "bytes32", "bytes32", "uint256[]"]
    ),
    selector("redeem(bytes31,uint256,uint256)"): (0, ROUTER_REDEEM),
}  # fmt: skip
"""Selector → (which argument is the condition, argument types)."""


APPROVE = selector("approve(address,uint256)")


class Submitted(msgspec.Struct, kw_only=True):
    """One gasless transaction. `ends` = how: `confirmed`, `failed` once mined, or `stuck`."""

    id: str
    signer: str
    wallet: str
    calls: list[bytes]
    at_ns: int
    nonce: int
    deadline_s: int = 0
    """After this the chain refuses it; 0 = never."""
    ends: str = "confirmed"
    done: bool = False
    error: str = ""

    @property
    def on_chain(self) -> str:
        """Its transaction's hash."""
        return "0x" + sha256(self.id.encode()).hexdigest()


class Relayer:
    """Transactions under way and nonces: one at a time of a wallet. An actor: it wakes to mine."""

    name = "relayer"

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self.sent: dict[str, Submitted] = {}
        self.nonces: dict[str, int] = {}
        self._order: list[Submitted] = []
        venue.exchange.join(self)

    def take(
        self, signer: str, wallet: str, calls: list[bytes], nonce: int, deadline_s: int = 0
    ) -> Submitted:
        """Take a transaction of a signer. Raises Refused: a busy wallet, a wrong nonce."""
        venue = self._venue
        if any(one.wallet == wallet and self.active(one) for one in self._order):
            raise Refused(f"wallet busy: wallet {wallet} has an active action")
        on_chain = self.nonces.get(signer, 0)
        if nonce != on_chain:
            raise Refused(f"batch nonce {nonce} does not match on-chain nonce {on_chain}")
        number = len(self._order) + 1
        ends = venue.settings.relayer_ends
        made = Submitted(
            id=sha256(f"{venue.settings.seed}/relay/{number}".encode()).hexdigest()[:32],
            signer=signer, wallet=wallet, calls=calls, at_ns=venue.exchange.now_ns, nonce=nonce,
            deadline_s=deadline_s, ends=ends.pop(0) if ends else "confirmed",
        )  # fmt: skip
        self.sent[made.id] = made
        self._order.append(made)
        at_ns = made.at_ns + int(venue.settings.relayer_s * S)
        venue.exchange.timeline.set(at_ns, TimelineEntry.ACTOR, self.name, number)
        return made

    def active(self, sent: Submitted) -> bool:
        """Say whether it may still take effect."""
        late = sent.deadline_s and self._venue.exchange.now_ns > sent.deadline_s * S
        return not (sent.done or late)

    def wake(self, topic: int, now_ns: int) -> None:
        """Mine a transaction: its nonce is used, its calls take effect or revert."""
        sent = self._order[topic - 1]
        if sent.ends == "stuck" or (sent.deadline_s and now_ns > sent.deadline_s * S):
            return
        sent.done = True
        self.nonces[sent.signer] = sent.nonce + 1
        if sent.ends == "failed":
            sent.error = "execution reverted"
            return
        errors = (_do(self._venue, sent, call) for call in sent.calls)
        sent.error = next(filter(None, errors), "")

    def state(self) -> bytes:
        """Nothing survives: this venue lives in memory."""
        return b""

    def restore(self, state: bytes) -> None:
        """Nothing to take back."""

    def state_of(self, sent: Submitted) -> str:
        """Return the state of a transaction as the relayer tells it."""
        if sent.done:
            return "STATE_FAILED" if sent.error else "STATE_CONFIRMED"
        steps = ["STATE_NEW", "STATE_EXECUTED", "STATE_MINED"]
        age_s = (self._venue.exchange.now_ns - sent.at_ns) / S
        step = min(2, int(3 * age_s / max(self._venue.settings.relayer_s, 1e-9)))
        return steps[min(step, 1) if sent.ends == "stuck" else step]


def _redeem(venue: Venue, sent: Submitted, data: bytes) -> str:
    place, types = REDEEMS[data[:4]]
    try:
        values = abi_decode(types, data[4:])
        condition = values[place]
    except DecodingError:
        return "execution reverted: bad calldata"
    market = venue.by_condition.get("0x" + condition.hex().ljust(64, "0"))
    account = AccountId(sent.wallet)
    if market is None or account not in venue.ledger.signers:
        return "execution reverted: unknown condition or wallet"
    if not market.resolved:
        return "execution reverted: result for condition not received yet"
    asked = None
    if types == ROUTER_REDEEM:  # it burns what it is told of one outcome, and nothing else
        _, outcome, amount = values
        if outcome > 1 or amount > venue.ledger.on_chain(account, market.tokens[outcome]):
            return "execution reverted: ERC1155: burn amount exceeds balance"
        asked = (amount, 0) if outcome == 0 else (0, amount)
    venue.exchange.clearing.redeeming.confirm(account, market.instrument, sent.id, asked)
    return ""


def convert(venue: Venue, account: AccountId, market: Listed, size: int, name: str) -> bool:
    """Split cash into pairs, or merge −`size` pairs; the index tells of it by `name`."""
    now_ns = venue.exchange.now_ns
    if not venue.exchange.convert(account, market.instrument, size, now_ns):
        return False
    conversion = Converted(
        instrument=market.instrument, size=size, amount_micro=abs(size), transaction=name,
        at_ns=now_ns,
    )  # fmt: skip
    venue.exchange.account(account).conversions.append(conversion)
    return True


def _do(venue: Venue, sent: Submitted, data: bytes) -> str:
    """Do one call; return why it reverted."""
    if data[:4] in REDEEMS:
        return _redeem(venue, sent, data)
    wallet = sent.wallet
    if data[:4] == APPROVE:
        venue.ledger.allowances.pop(AccountId(wallet), None)
        return ""
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
    if convert(venue, account, market, size, sent.id):
        return ""
    return "execution reverted: SafeMath: subtraction overflow"
