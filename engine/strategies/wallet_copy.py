"""Wallet copy: takes a part of each public trade of a named wallet, later and not much dearer.

Idea: who was right often may be right again, and where trades are public with their address one
can follow. Source: Barber, Lee, Liu and Odean, 2014, "The cross-section of speculator skill", found
that the few who earned before earn on and that most do not; Apesteguia, Oechssler and Weidenholzer,
2020, "Copy trading", that copying makes people take more risk. It loses where the wallet was lucky;
where it earns by resting orders (a copier takes, and pays the spread and the fee it was paid);
where its other leg is not to be seen; and by the delay: a public index has a trade seconds to a
minute after it was made, and by then those who are faster have moved the price. A wallet that knows
it is followed can trade against its followers.

A trade comes as an `Observed` of the key `wallet:VENUE/ADDRESS`. What is bought is added to the
position and what is sold is taken off it, never beyond nothing, by a part of its size; pieces too
small for an order are added up while they are fresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import msgspec
from pydantic import Field, field_validator

from engine.domain.catalog import GateWords, ValueUnit, ValueWords
from engine.domain.decisions import Gate
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import BotId, Instrument, InstrumentId
from engine.domain.legs import Side
from engine.domain.observed_events import Observed
from engine.domain.wallets import WalletTrade, trade_of, wallet_key
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Needs, Parameters, decided
from engine.strategies.taking import crossing_target

S = 1_000_000_000
LOOK_NS = 10 * S
PENDING_MAX = 32
"""Most trades of a market that wait for its evaluation; the oldest give way."""

KNOWN_MAX = 256
"""So many trades are remembered, so that one that comes twice is copied once."""


class WalletCopyParameters(Parameters):
    """Whom it follows, how far, and how late."""

    wallet: str = "polymarket/0x0000000000000000000000000000000000000000"
    """Venue and address, as polymarket/0x0123...: the trading wallet a profile shows.

    An address that never trades: whom to follow is yours to say."""
    trade_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Part of the size of each of its trades that is copied, 0 to 1.

    A tenth: its capital is not known, and its loss is not yours to share whole."""
    trade_max: Annotated[float, Field(gt=0.0, le=1_000_000.0)] = 25.0
    """Most that one copied trade may cost, in the currency.

    Little: one of its trades may be a hundred times the others."""
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Most of the capital in one market, 0 to 1.

    A tenth: one outcome may cost all of it."""
    delay_s_max: Annotated[float, Field(ge=1.0, le=3_600.0)] = 60.0
    """Seconds: an older trade is not copied.

    A minute: a public index is seconds to a minute late, and later the price has gone."""
    worse_max: Annotated[float, Field(ge=0.0, le=0.5)] = 0.01
    """How much worse than the wallet's price a copy may be, in the currency.

    One cent: what it gains is rarely more."""
    copies_sales: bool = True
    """Whether its sales are copied, too: they take off what is held.

    Yes: it may know when to leave."""

    @field_validator("wallet")
    @classmethod
    def _a_wallet(cls, text: str) -> str:
        try:
            wallet_key(text.lower())
        except BadInput as error:
            raise ValueError(str(error)) from None
        return text.lower()


class Goal(msgspec.Struct, frozen=True):
    """What the last copied trades come to in a market."""

    position: int
    limit: int
    until_ns: int


class WalletCopyState(msgspec.Struct):
    """What survives a restart."""

    pending: dict[InstrumentId, list[WalletTrade]] = {}
    goals: dict[InstrumentId, Goal] = {}
    owed: dict[InstrumentId, tuple[float, int]] = {}
    """Size that was too small for an order, signed, and when it was traded."""
    known: list[str] = []


def signed_of(trade: WalletTrade, instrument: Instrument) -> float:
    """Return its size in terms of the first leg: above zero bought, or the second sold."""
    first = trade.leg is not instrument.product.second
    return trade.size if (trade.side is Side.BUY) == first else -trade.size


def level_of(trade: WalletTrade, instrument: Instrument) -> float:
    """Return its price as one of the first leg, in the currency."""
    unit = instrument.price_unit
    return instrument.product.level(trade.leg, round(trade.price * unit)) / unit


class WalletCopy:
    """Takes a part of each public trade of a named wallet, within a price and a delay."""

    name: ClassVar[str] = "wallet_copy"
    needs: ClassVar[Needs] = Needs(observed=True)
    parameters_type: ClassVar[type[Parameters]] = WalletCopyParameters
    category: ClassVar[str] = "binaries"
    tags: ClassVar[tuple[str, ...]] = ("outside information",)
    gates: ClassVar[Mapping[str, GateWords]] = {
        "binary": GateWords("the market pays 0 or 1", "the market paid 0 or 1", needed=True),
        "heard": GateWords("the wallet traded here", "the wallet traded here", needed=True),
        "fresh": GateWords(
            "its trade is fresh",
            "its trade were newer",
            "{value} old, at most {limit}",
            ValueUnit.SECONDS,
            "≤",
        ),
        "touch": GateWords(
            "the book has the side it needs",
            "the book had that side",
            "the side of the book it needs is empty",
        ),
        "price": GateWords(
            "the price is not much worse than the wallet's",
            "the price came back",
            "{value} worse, at most {limit}",
            ValueUnit.PLAIN,
            "≤",
        ),
        "size": GateWords(
            "its part is an order",
            "its part were larger, or the caps wider",
            "{value} of at least {limit}",
            ValueUnit.PLAIN,
            "≥",
        ),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        "wallet_price": ValueWords("Price of the wallet's trade, of YES", ValueUnit.PRICE),
        "wallet_size": ValueWords("Size of the wallet's trade, below zero against YES"),
        "delay": ValueWords("Time since that trade", ValueUnit.SECONDS),
        "copied": ValueWords("Size to copy"),
    }
    touch_alone = True
    mid2_moved_min = 0
    references: tuple[str, ...] = ()

    def __init__(self, parameters: WalletCopyParameters, bot: BotId) -> None:
        self.parameters = parameters
        del bot
        self.observes = (wallet_key(parameters.wallet),)
        self.replan_ns_min = S // 10
        self.timer_ns = LOOK_NS
        self._kept = WalletCopyState()

    # -- Strategy ----------------------------------------------------------------------------------

    def receive(self, event: Event, now_ns: int) -> bool:
        """Take a trade of the wallet, once; wake on it."""
        del now_ns
        trade = trade_of(event) if isinstance(event, Observed) else None
        kept = self._kept
        if trade is None or trade.number in kept.known:
            return False
        kept.known = [*kept.known[1 - KNOWN_MAX :], trade.number]
        waiting = kept.pending.setdefault(trade.instrument, [])
        waiting.append(trade)
        del waiting[:-PENDING_MAX]
        if len(kept.pending) > KNOWN_MAX:  # markets no bot of ours watches
            del kept.pending[next(iter(kept.pending))]
        return True

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: what is held comes with each evaluation."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Add what the wallet traded since to what is wanted here; want it for a while."""
        instrument = context.view.instrument
        key = instrument.id
        trades = self._kept.pending.pop(key, [])
        goal = self._kept.goals.get(key)
        if goal is not None and goal.until_ns <= now_ns:
            del self._kept.goals[key]
        binary = Gate("binary", instrument.product.second is not None, 0.0, 0.0)
        gates: tuple[Gate, ...] = (binary,)
        inputs: tuple[tuple[str, float], ...] = ()
        for trade in trades if binary.passed else ():
            gates, inputs = self._copy(context, trade, now_ns)
        goal = self._kept.goals.get(key)
        if binary.passed and not trades:
            gates = (binary, Gate("heard", goal is not None, 0.0, 0.0))
        return self._decided(context, now_ns, goal, gates, inputs)

    def _copy(
        self, context: Context, trade: WalletTrade, now_ns: int
    ) -> tuple[tuple[Gate, ...], tuple[tuple[str, float], ...]]:
        """Look at one trade; move the goal where every gate passes."""
        p, instrument, kept = self.parameters, context.view.instrument, self._kept
        signed, level = signed_of(trade, instrument), level_of(trade, instrument)
        unit, up = instrument.price_unit, signed > 0
        touch = context.view.best_ask if up else context.view.best_bid
        worse = 0.0 if touch is None else (touch / unit - level) * (1 if up else -1)
        age_s = (now_ns - trade.at_ns) / S
        owed, owed_ns = kept.owed.pop(instrument.id, (0.0, 0))
        if now_ns - owed_ns > p.delay_s_max * S or (owed > 0) != up:
            owed = 0.0
        asked = signed * p.trade_share + owed
        copied = self._size(context, trade, asked)
        least = float(max(instrument.size_min, instrument.lot))
        leaves = self._leaves(context, trade)
        gates = (
            Gate("binary", True, 0.0, 0.0),
            Gate("heard", True, 0.0, 0.0),
            Gate("fresh", age_s <= p.delay_s_max, age_s, p.delay_s_max),
            Gate("touch", touch is not None and context.view.trusted, 0.0, 0.0),
            Gate("price", worse <= p.worse_max + 1e-9, worse, p.worse_max),
            Gate("size", abs(copied) >= least or (leaves and copied != 0), abs(copied), least),
        )
        inputs = (
            ("wallet_price", level),
            ("wallet_size", signed),
            ("delay", age_s),
            ("copied", float(copied) / 10**instrument.size_decimals),
        )
        if all(gate.passed for gate in gates):
            limit = round((level + (p.worse_max if up else -p.worse_max)) * unit)
            limit = max(instrument.tick, min(instrument.product.top, limit))
            position = self._base(context) + copied
            until_ns = now_ns + round(p.delay_s_max * S)
            kept.goals[instrument.id] = Goal(position, limit, until_ns)
        elif gates[2].passed and not gates[5].passed and not leaves:
            kept.owed[instrument.id] = asked, trade.at_ns
        return gates, inputs

    def _base(self, context: Context) -> int:
        """Return what is wanted already, else what is held."""
        goal = self._kept.goals.get(context.view.instrument.id)
        return context.inventory.position if goal is None else goal.position

    def _leaves(self, context: Context, trade: WalletTrade) -> bool:
        """Say whether a trade takes off what is held here."""
        signed = signed_of(trade, context.view.instrument)
        return trade.side is Side.SELL or self._base(context) * signed < 0

    def _size(self, context: Context, trade: WalletTrade, asked: float) -> int:
        """Return what is copied of it, signed, in increments: under every cap, in whole lots."""
        p, instrument, base = self.parameters, context.view.instrument, self._base(context)
        size = abs(asked) * 10**instrument.size_decimals
        up = asked > 0
        if trade.side is Side.SELL:  # what is sold is held: it never opens the other side
            held = max(0, -base if up else base)
            size = min(size, float(held)) if p.copies_sales else 0.0
        elif context.reducing:
            size = min(size, float(abs(base))) if base * asked < 0 else 0.0
        else:
            size = min(size, self._room(context, base, up=up))
        lots = int(size) // instrument.lot * instrument.lot
        return lots if up else -lots

    def _room(self, context: Context, base: int, *, up: bool) -> float:
        """Return how much more may be bought: by trade, by market, by cash."""
        p, instrument = self.parameters, context.view.instrument
        touch = context.view.best_ask if up else context.view.best_bid
        if touch is None:
            return 0.0
        price = max(1, touch if up else instrument.price_unit - touch)
        a_micro = instrument.value_divisor / price
        closes = float(max(0, -base if up else base))
        held = float(max(0, base if up else -base))
        market = max(0.0, context.capital_micro * p.share * a_micro - held)
        cash = context.inventory.cash_free_micro * a_micro
        return min(p.trade_max * 1e6 * a_micro, closes + min(market, cash))

    def _decided(
        self,
        context: Context,
        now_ns: int,
        goal: Goal | None,
        gates: tuple[Gate, ...],
        inputs: tuple[tuple[str, float], ...],
    ) -> Evaluation:
        have, intent = context.inventory.position, None
        if goal is not None and goal.position != have:
            intent = crossing_target(
                context, context.view, goal.position, goal.limit, goal.until_ns
            )
        decision = decided(
            context,
            now_ns,
            regime="yes" if have > 0 else "no" if have < 0 else "flat",
            gates=gates,
            inputs=inputs,
            intent=intent,
            acts="target",
        )
        return Evaluation(
            decision=decision, intents=(intent,) if intent else (), quiet=intent is None
        )

    def forget(self, instrument: InstrumentId) -> None:
        """Drop an instrument."""
        kept = self._kept
        kept.pending.pop(instrument, None)
        kept.goals.pop(instrument, None)
        kept.owed.pop(instrument, None)

    def state(self) -> bytes:
        """Return what waits, what is wanted, and which trades are known."""
        return msgspec.json.encode(self._kept)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        try:
            kept = msgspec.json.decode(state, type=WalletCopyState) if state else WalletCopyState()
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"its state cannot be read: {error}") from None
        self._kept = kept
