"""Inputs: what a desk was given, as it stands on the tape. With the journal it is all it was given.

The journal keeps every report a desk received and every effect it asked for; these are the rest:
the market, each turn with its time, timers, what people and the engine did to bots. An entry of the
tape of kind `desk` is one of them; a journal record carries the position of the last entry before
it, so the two can be put back into the one order in which everything happened.
"""

from __future__ import annotations

import msgspec

from engine.domain.commands import PlaceManual
from engine.domain.effects import AnyEffect, AnyWalletEffect
from engine.domain.events import AnyEvent, MarketEvent
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.intents import Target
from engine.domain.orders import OrderId

KIND = "desk"
"""Kind of the tape's entries."""

FORMAT = 1


class Input(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base: what the desk of one account was given at the entry's time."""

    account: AccountId


class SnapshotAtStart(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot of the journal as a start found it; the journal itself forgets old ones."""

    seq: int
    at_ns: int
    body: bytes


class EngineStarted(Input, frozen=True, tag=0):
    """An engine started: everything before belongs to an earlier life. `account` is empty."""

    format: int
    fence: int
    seq: int
    """Last record of the journal before this life."""
    accounts: tuple[bytes, ...]
    """Settings of the accounts that were opened, in order, as JSON."""
    snapshots: dict[str, SnapshotAtStart]
    feed: str = ""
    """What was played in place of a market; empty = the market itself."""
    code: str = ""
    """Digest of the source that decides; empty = it was not noted."""


class Opened(Input, frozen=True, tag=1):
    """An account was opened while the engine ran; its settings as JSON."""

    settings: bytes
    seq: int = 0
    """The journal's record up to which it was recovered; 0 = it is new and has no past."""


class Turned(Input, frozen=True, tag=2):
    """The desk turned."""


class Received(Input, frozen=True, tag=3):
    """The desk received market events; None = the same ones as the desk before it."""

    events: tuple[MarketEvent, ...] | None


class Transient(Input, frozen=True, tag=4):
    """The desk received an event that the journal does not keep."""

    event: AnyEvent


class Began(Input, frozen=True, tag=5):
    """The second's tick began; `bots_run` True = idle bots run from now on."""

    bots_run: bool


class BotAdded(Input, frozen=True, tag=6):
    """A bot was added: its settings as JSON, its state, what it had learned.

    `signals` is what its bars and indicators had learned; older tapes have none.
    """

    settings: bytes
    everything: bool
    state: str
    learned: bytes
    signals: bytes = b""
    code: str = ""
    """Digest of the plug-in its strategy is of; empty = of the product's own, or an older tape."""


class BotReattached(Input, frozen=True, tag=7):
    """A bot receives again after an error, with a new strategy that knows `learned`.

    Older tapes have None: there the strategy that failed went on.
    """

    bot: BotId
    learned: bytes | None = None
    code: str = ""
    """As of `BotAdded`."""


class BotRemoved(Input, frozen=True, tag=8):
    """A bot was removed."""

    bot: BotId


class Withdrawn(Input, frozen=True, tag=9):
    """A bot's intents were forgotten, all of them or those for one instrument."""

    bot: BotId
    instrument: InstrumentId | None = None


class BotMoved(Input, frozen=True, tag=10):
    """A bot stands in another state."""

    bot: BotId
    state: str


class TargetSet(Input, frozen=True, tag=11):
    """The engine stated an intent for a bot."""

    target: Target


class PlacedByHand(Input, frozen=True, tag=12):
    """A person placed an order."""

    asked: PlaceManual


class BotReevaluated(Input, frozen=True, tag=13):
    """A bot states its intents anew."""

    bot: BotId


class StartedOver(Input, frozen=True, tag=14):
    """The venue is asked everything before anything is placed."""


class CancelledByHand(Input, frozen=True, tag=15):
    """A person cancelled an order."""

    order: OrderId


class Halted(Input, frozen=True, tag=16):
    """Everything was cancelled; nothing is placed any more."""

    reason: str


class EffectRequested(Input, frozen=True, tag=17):
    """The engine itself asked for an effect."""

    effect: AnyEffect


class InstrumentForgotten(Input, frozen=True, tag=18):
    """An instrument that is over was dropped; `marked` True = its last mark was kept."""

    instrument: InstrumentId
    marked: bool


class ProofBegun(Input, frozen=True, tag=19):
    """A proof began that nothing is open: of a bot, an instrument, or (both None) at all."""

    scope: str | None


class Limited(Input, frozen=True, tag=20):
    """Other risk limits are in force, as JSON."""

    limits: bytes


class Expiring(Input, frozen=True, tag=21):
    """Quotes end by themselves after so many ms from now on; None = they do not."""

    life_ms: int | None


class WalletOperated(Input, frozen=True, tag=22):
    """A person asked for an operation of the wallet."""

    asked: AnyWalletEffect


class Automated(Input, frozen=True, tag=23):
    """From which amounts on the account redeems and merges by itself; None = it does not."""

    redeem_above_micro: int | None
    merge_above_micro: int | None


class Following(Input, frozen=True, tag=24):
    """A bot trades these markets besides its own: those its saved filter leads to now."""

    bot: BotId
    instruments: tuple[InstrumentId, ...]


class BotFailed(Input, frozen=True, tag=25):
    """A bot stopped by what does not come again by itself, as its time or its memory.

    With one of the last three it stands behind the input in which that call was made, and belongs
    to it; with none it is an input of its own.
    """

    bot: BotId
    error: str
    decision: int = 0
    """The number of the decision that was being made."""
    event: AnyEvent | None = None
    """What its strategy was given."""
    forgot: str = ""
    """The instrument it was to forget."""

    @property
    def within(self) -> bool:
        """Say whether it belongs to the input before it."""
        return bool(self.decision or self.event is not None or self.forgot)


class OrdersStated(Input, frozen=True, tag=26):
    """An account that turns no more was asked what was still to be journaled of its orders."""


AnyInput = (
    EngineStarted
    | Opened
    | Turned
    | Received
    | Transient
    | Began
    | BotAdded
    | BotReattached
    | BotRemoved
    | Withdrawn
    | BotMoved
    | TargetSet
    | PlacedByHand
    | BotReevaluated
    | StartedOver
    | CancelledByHand
    | Halted
    | EffectRequested
    | InstrumentForgotten
    | ProofBegun
    | Limited
    | Expiring
    | Following
    | WalletOperated
    | Automated
    | BotFailed
    | OrdersStated
)

pack_input = msgspec.msgpack.Encoder().encode
unpack_input = msgspec.msgpack.Decoder(AnyInput).decode
