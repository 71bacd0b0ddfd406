"""The market maker: a two-sided ladder around a fair value, skewed by what it holds.

Fair value comes from the settlement oracle led by a faster reference, or from the instrument's own
microprice. It rests quotes and never takes, says at each evaluation which gate stopped it or how
the quotes were made, and leaves a standing intent alone until an edge has moved far enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from engine.caches.views import BookView
from engine.domain.catalog import GateWords, ValueUnit, ValueWords
from engine.domain.decisions import Decision, Gate
from engine.domain.events import (
    BookDistrusted,
    Event,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    OrderFilled,
    ReferencePriced,
    StrikeProven,
    TradePrinted,
)
from engine.domain.instruments import BotId, Instrument, InstrumentId, Side
from engine.domain.intents import Quotes
from engine.errors import BadInput, BrokenInvariant
from engine.indicators.markout import MarkoutMeans
from engine.indicators.twap import TwapAccumulator
from engine.strategies.door import Context, Evaluation, Parameters
from engine.strategies.market_maker.fair import FAIR_GATES, book_fair, reference_fair
from engine.strategies.market_maker.gates import (
    GATES,
    Regime,
    event_gate,
    market_gates,
    opening_gates,
    regime_of,
)
from engine.strategies.market_maker.parameters import FairSource, MarketMakerParameters
from engine.strategies.market_maker.quotes import (
    Edges,
    Fair,
    affordable,
    cell_of,
    edges_of,
    ladder,
    sizes_of,
    still_right,
)
from engine.strategies.market_maker.state import (
    FILLS_WAITING_MAX,
    MS_NS,
    SECOND_NS,
    STATE_VERSION,
    UNBOUNDED,
    Learned,
    MarketState,
    SavedState,
    Shared,
    Sizes,
    StandingIntent,
    WaitingFill,
    fresh_learned,
    fresh_shared,
    judge_fills,
    rest_of,
    retune,
)

# -- How a market maker learns: references, trades, its own fills, and the book it is shown --------

BPS = 1e-4

FILL_AGE_NS_MAX = 5_000_000_000
"""A fill whose direction the position does not show by then is not marked out."""


def learn_reference(
    shared: Shared,
    learned: dict[str, Learned],
    event: ReferencePriced,
    p: MarketMakerParameters,
    now_ns: int,
) -> bool:
    """Take a reference or oracle price. True = it is one of ours and usable.

    A price that is not positive is left out; its age then fails the gate.
    """
    if event.price_e8 <= 0 or event.key not in {p.reference, p.oracle}:
        return False
    price = event.price_e8 / 1e8
    stamp_ns = now_ns if event.exchange_ns is None else event.exchange_ns
    if event.key == p.reference:
        _lead(shared, price, stamp_ns, p, now_ns)
    if event.key == p.oracle:
        shared.oracle_price = price
        shared.oracle_stamp_ns = stamp_ns
        shared.basis.oracle(price, stamp_ns)
        if p.twap_window_s:
            for known in learned.values():
                if known.twap is not None:
                    known.twap.take(price, stamp_ns)
    return True


def _lead(
    shared: Shared, price: float, stamp_ns: int, p: MarketMakerParameters, now_ns: int
) -> None:
    shared.volatility.take(price, stamp_ns)
    if p.reference != p.oracle:
        shared.basis.reference(price, stamp_ns)
    if p.event_jump_bps and shared.moves.take(price, now_ns) >= p.event_jump_bps * BPS * price:
        shared.cooldown_until_ns = now_ns + int(p.event_cooldown_s * SECOND_NS)


def learn_trade(learned: Learned, event: TradePrinted, now_ns: int) -> None:
    if event.size is not None and event.aggressor is not None:
        signed = event.size if event.aggressor is Side.BUY else -event.size
        learned.flow.take(float(signed), now_ns)


def learn_book(market: MarketState, view: BookView, now_ns: int) -> None:
    """Sample the mid of a book that is trusted, two-sided and not crossed; others teach nothing.

    A jump's cool-down lasts until `event_cooldown_s` after the jump has left its window.
    """
    book = view.book
    if not (view.trusted and book.bid_prices and book.ask_prices):
        return
    best_bid, best_ask = book.bid_prices[-1], book.ask_prices[0]
    if best_bid >= best_ask:
        return
    learned, p = market.learned, market.p
    mid = (best_bid + best_ask) * 0.5
    volatility = learned.volatility
    # The same refusal as its own, without the call: most evaluations come between two samples.
    if volatility.at_ns is None or now_ns - volatility.at_ns >= volatility.sample_ns_min:
        volatility.take(mid, now_ns)
    learned.markouts.observe(mid * market.scale, now_ns, market.shared.fills)
    if p.event_jump_ticks:
        moved = learned.moves.take(mid, now_ns)
        if moved >= market.event_jump:
            learned.cooldown_until_ns = now_ns + int(p.event_cooldown_s * SECOND_NS)


def learn_position(market: MarketState, position: int, now_ns: int) -> None:
    """Take the position and give the fills that wait for it their direction.

    A fill arrives with its leg's price alone: the position says whether it bought or sold in
    YES-space. Where the fills since the last evaluation went both ways, they are not marked out:
    guessing would put one side's loss on the other.
    """
    learned = market.learned
    before, learned.position = learned.position, position
    if not learned.waiting:
        return
    moved = 0 if before is None else position - before
    cell = cell_of(market, learned.standing.regime if learned.standing else "", now_ns)
    if moved:
        if sum(fill.size for fill in learned.waiting) == abs(moved):
            for fill in learned.waiting:
                sign = 1 if moved > 0 else -1
                price = _yes_price(market, fill, sign)
                learned.markouts.fill(
                    sign, price * market.scale, fill.at_ns,
                    shares=fill.size * market.size_scale, cell=cell,
                )  # fmt: skip
        else:
            learned.markouts.dropped += len(learned.waiting)
        learned.waiting.clear()
    elif now_ns - learned.waiting[-1].at_ns > FILL_AGE_NS_MAX:
        learned.markouts.dropped += len(learned.waiting)
        learned.waiting.clear()


def _yes_price(market: MarketState, fill: WaitingFill, sign: int) -> int:
    """Return the fill's price in YES-space: p or one − p, whichever is nearer to what we quoted."""
    if not market.binary:
        return fill.price
    other = market.product.one - fill.price
    standing = market.learned.standing
    quoted = standing and (standing.bids if sign > 0 else standing.asks)
    if quoted:
        near = float(quoted[0][0])
    elif market.learned.markouts.mid is not None:
        near = market.learned.markouts.mid * market.unit
    else:
        return fill.price
    return fill.price if abs(fill.price - near) <= abs(other - near) else other


def watch_settlement(market: MarketState) -> None:
    """Have the instrument's settlement window averaged, from the last known oracle price on."""
    learned, shared, p = market.learned, market.shared, market.p
    closes_ns = market.closes_ns
    if p.fair is not FairSource.REFERENCE or not p.twap_window_s or closes_ns is None:
        learned.twap = None
        return
    start_ns = closes_ns - int(p.twap_window_s * SECOND_NS)
    twap = learned.twap
    if twap is not None and twap.start_ns == start_ns and twap.end_ns == closes_ns:
        return
    # A price too old to be quoted on is too old to stand for a part of the window.
    held_ns = p.oracle_age_ms_max * MS_NS
    learned.twap = TwapAccumulator(start_ns=start_ns, end_ns=closes_ns, held_ns=held_ns)
    if shared.oracle_stamp_ns is not None:
        learned.twap.take(shared.oracle_price, shared.oracle_stamp_ns)


# -- The market maker's intents and the record of why: fresh, stated again, or withdrawn -----------

Values = tuple[tuple[str, float], ...]


def fresh_intent(
    market: MarketState, edges: Edges, sizes: tuple[Sizes, Sizes], regime: Regime, now_ns: int
) -> StandingIntent:
    bids, asks = ladder(sizes, edges, market)
    return StandingIntent(
        bids=bids,
        asks=asks,
        bid_sizes=sizes[0],
        ask_sizes=sizes[1],
        bid_edge=edges.bid,
        ask_edge=edges.ask,
        tick=market.tick,
        regime=regime,
        restate_ns=now_ns + market.p.refresh_ms * MS_NS if bids or asks else UNBOUNDED,
        valid_until_ns=_valid_until(market, now_ns),
    )


def same_intent(standing: StandingIntent, market: MarketState, now_ns: int) -> StandingIntent:
    """Return the same intent for longer; its edges stay, so that hysteresis cannot creep."""
    return msgspec.structs.replace(
        standing,
        restate_ns=now_ns + market.p.refresh_ms * MS_NS,
        valid_until_ns=_valid_until(market, now_ns),
    )


def no_intent(regime: Regime) -> StandingIntent:
    """Return the empty intent: it stands until something can be quoted."""
    return StandingIntent(regime=regime)


def _valid_until(market: MarketState, now_ns: int) -> int:
    """Return when an intent ends by itself: after a while, or when the close comes too near."""
    until_ns = now_ns + market.p.valid_for_ms * MS_NS
    return until_ns if market.stop_ns is None else min(until_ns, market.stop_ns)


def state_intent(
    context: Context, market: MarketState, intent: StandingIntent, now_ns: int
) -> Quotes:
    market.learned.standing = intent
    valid_until_ns = intent.valid_until_ns
    if intent.empty:
        valid_until_ns = now_ns + market.p.valid_for_ms * MS_NS
    return Quotes(
        bot=context.bot,
        instrument=market.instrument.id,
        bids=intent.bids,
        asks=intent.asks,
        valid_until_ns=valid_until_ns,
        decision=context.decision,
    )


def evaluation(
    context: Context,
    market: MarketState,
    gates: list[Gate],
    fair: Fair | None,
    *,
    regime: Regime,
    parts: Values,
    outcome: str,
    intent: Quotes | None,
    now_ns: int,
    alert: str = "",
    reducing: str = "",
    quiet: bool = False,
) -> Evaluation:
    scale = market.scale
    book = context.view.book
    bids, asks = book.bid_prices, book.ask_prices
    inputs: Values = (
        ("position_shares", context.inventory.position * market.size_scale),
        ("capital", context.capital_micro * 1e-6),
        *((("best_bid", bids[-1] * scale),) if bids else ()),
        *((("best_ask", asks[0] * scale),) if asks else ()),
    )
    if fair is not None:
        inputs += fair.inputs
        parts = fair.build_up + parts
    provenance = market.learned.provenance
    notes: tuple[tuple[str, str], ...] = (("strike_provenance", provenance),) if provenance else ()
    if reducing:
        notes += (("reduce_only", f"would open if {GATES[reducing].would}"),)
    decision = Decision(
        number=context.decision,
        bot=context.bot,
        instrument=market.instrument.id,
        at_ns=now_ns,
        regime=regime,
        inputs=inputs,
        build_up=parts,
        gates=tuple(gates),
        outcome=outcome,
        intent=intent,
        notes=notes,
    )
    intents = () if intent is None else (intent,)
    shared, rest = market.shared, None
    if now_ns < shared.resting_until_ns:
        rest = rest_of(shared, market.p, market.product)
    return Evaluation(decision=decision, intents=intents, alert=alert, quiet=quiet, rest=rest)


# -- The market maker: a two-sided ladder around a fair value, skewed by what it holds -------------

INSTRUMENTS_MAX = 5_000
"""Most instruments remembered at once; whoever watches more must forget closed ones."""

WAKING = frozenset({InstrumentListed, InstrumentClosed, BookDistrusted, FeedLost, FeedRestored})
"""Rare events after which the gates may answer differently."""

QUIET = frozenset({"not_closing", "fills_pay"})
"""Gates that only time opens: while one is shut, no book and no trade changes the answer."""

_PRICE, _PART = ValueUnit.PRICE, ValueUnit.PRICE_PART
V = ValueWords
VALUES = {
    "best_bid": V("best bid", _PRICE),
    "best_ask": V("best ask", _PRICE),
    "fair": V("fair value", _PRICE),
    "capital": V("capital", ValueUnit.MONEY),
    "position_shares": V("position", ValueUnit.SIZE),
    "oracle": V("oracle price"),
    "reference": V("reference price"),
    "basis_mean": V("oracle minus reference, mean"),
    "basis_sigma": V("its standard deviation"),
    "strike": V("strike"),
    "realised_average": V("oracle's mean since the settlement window began"),
    "settlement_mean": V("expected settlement price"),
    "settlement_sigma": V("standard deviation of that price"),
    "sigma_bps_per_sqrt_s": V("volatility", after=" bps per \N{SQUARE ROOT}s"),
    "volatility_regime": V("volatility now, relative to usual"),
    "market_mid": V("the market's mid", _PRICE),
    "model": V("model value", _PRICE),
    "model_then": V("model value already in the mid", _PRICE),
    "model_news": V("change of the model since then", _PART),
    "lead_b": V("share of such changes the mid follows", after=" of it"),
    "lead_b_error": V("standard error of that", after=" of it"),
    "lead_b_used": V("share applied, 0 where not proven", after=" of it"),
    "to_close_s": V("time to close", ValueUnit.SECONDS),
    "skew": V("skew for the position", _PART),
    "width_vol": V("width for volatility", _PART),
    "width_fee": V("width for the fee", _PART),
    "width_markout": V("width for markout losses", _PART),
    "width_basis": V("width for the basis", _PART),
    "half_width_bid": V("half width of the bid", _PART),
    "half_width_ask": V("half width of the ask", _PART),
    "bid_edge": V("bid before the tick", _PART),
    "ask_edge": V("ask before the tick", _PART),
    "sigma_per_sqrt_s": V("fair value move per \N{SQUARE ROOT}s", _PART),
}
"""What its decisions hold, in words; a name without words is shown as it is."""


class MarketMaker:
    """Rests a bid and an ask around the fair value of each market, and leans against inventory.

    One for all instruments of one bot. Implements `strategies.door.Strategy`.
    """

    name: ClassVar[str] = "market_maker"
    parameters_type: ClassVar[type[Parameters]] = MarketMakerParameters
    gates: ClassVar[Mapping[str, GateWords]] = GATES | FAIR_GATES
    values: ClassVar[Mapping[str, ValueWords]] = VALUES
    mid2_moved_min = 0
    touch_alone = True

    def __init__(self, parameters: MarketMakerParameters, bot: BotId) -> None:
        self.parameters = parameters
        self.bot = bot
        self.replan_ns_min = parameters.replan_ms_min * MS_NS
        self.timer_ns = parameters.timer_ms * MS_NS
        self._referenced = parameters.fair is FairSource.REFERENCE
        self.references: tuple[str, ...] = (
            tuple(dict.fromkeys((parameters.oracle, parameters.reference)))
            if self._referenced
            else ()
        )
        self._shared = fresh_shared(parameters)
        self._learned: dict[str, Learned] = {}
        self._markets: dict[str, MarketState] = {}

    # -- receiving ---------------------------------------------------------------------------------

    def receive(self, event: Event, now_ns: int) -> bool:
        """Take an event into the indicators. True = evaluate the instrument soon."""
        if isinstance(event, TradePrinted):
            learn_trade(self._learned_of(event.instrument), event, now_ns)
            return True
        if isinstance(event, ReferencePriced):
            return self._referenced and learn_reference(
                self._shared, self._learned, event, self.parameters, now_ns
            )
        if isinstance(event, StrikeProven):
            self._learned_of(event.instrument).provenance = event.provenance
            return True
        return type(event) in WAKING

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Take an own fill; the next evaluation's position tells which way it went."""
        learned = self._learned_of(instrument)
        if len(learned.waiting) >= FILLS_WAITING_MAX:
            del learned.waiting[0]
            learned.markouts.dropped += 1
        learned.waiting.append(WaitingFill(event.price, event.size, now_ns))

    def forget(self, instrument: InstrumentId) -> None:
        """Drop the state of an instrument that is over; what its fills taught the bot stays."""
        self._markets.pop(instrument, None)
        self._learned.pop(instrument, None)

    def _learned_of(self, instrument: str) -> Learned:
        learned = self._learned.get(instrument)
        if learned is None:
            if len(self._learned) >= INSTRUMENTS_MAX:
                raise BrokenInvariant(
                    f"{self.name} of {self.bot} remembers {INSTRUMENTS_MAX} instruments: "
                    "forget closed ones"
                )
            learned = self._learned[instrument] = fresh_learned(self.parameters)
        return learned

    def _market(self, instrument: Instrument) -> MarketState:
        market = self._markets.get(instrument.id)
        if market is not None and market.instrument is instrument:
            return market
        if market is None:
            learned = self._learned_of(instrument.id)
            market = MarketState(instrument, learned, self._shared, self.parameters)
            self._markets[instrument.id] = market
        else:
            market.adopt(instrument)
        watch_settlement(market)
        return market

    # -- evaluating --------------------------------------------------------------------------------

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Say what to quote in `context.view.instrument`, and why."""
        view = context.view
        market = self._market(view.instrument)
        learned = market.learned
        if learned.waiting:
            learn_position(market, context.inventory.position, now_ns)
        else:
            learned.position = context.inventory.position
        learn_book(market, view, now_ns)
        if market.capital_micro != context.capital_micro:
            market.fund(context.capital_micro)
        alert = judge_fills(market.shared, market.p, now_ns, market.product)
        gates: list[Gate] = []
        fair: Fair | None = None
        if market_gates(gates, context, market, now_ns):
            if self._referenced:
                fair = reference_fair(gates, context, market, now_ns)
            else:
                fair = book_fair(gates, view.book, market)
            if fair is not None and event_gate(gates, market, now_ns):
                opens = opening_gates(gates, context, market, now_ns)
                if opens:
                    return self._quote(context, market, fair, gates, now_ns)
                if context.inventory.position:
                    why = gates.pop().name
                    return self._quote(
                        context, market, fair, gates, now_ns, alert=alert, reducing=why
                    )
        return self._withdraw(context, market, fair, gates, now_ns, alert=alert)

    @staticmethod
    def _withdraw(
        context: Context,
        market: MarketState,
        fair: Fair | None,
        gates: list[Gate],
        now_ns: int,
        *,
        alert: str,
    ) -> Evaluation:
        """Intend nothing, once, and name the gate that failed."""
        failed, learned = gates[-1].name, market.learned
        regime = Regime.EVENT if failed == "event_cooldown" else Regime.HALTED
        standing = learned.standing
        intent = None
        if standing is None or not standing.empty:
            intent = state_intent(context, market, no_intent(regime), now_ns)
        return evaluation(
            context, market, gates, fair,
            regime=regime, parts=(), outcome=failed, intent=intent, now_ns=now_ns, alert=alert,
            # A fill on its way to a markout needs each mid.
            quiet=failed in QUIET and not (learned.waiting or learned.markouts.waiting),
        )  # fmt: skip

    @staticmethod
    def _quote(
        context: Context,
        market: MarketState,
        fair: Fair,
        gates: list[Gate],
        now_ns: int,
        *,
        alert: str = "",
        reducing: str = "",
    ) -> Evaluation:
        """Keep the standing intent, state it again, or make a new one.

        `reducing` names the gate that forbids to open anything, where one does.
        """
        regime = regime_of(context, market, now_ns, opens=not reducing)
        inventory, book = context.inventory, context.view.book
        bids, asks = book.bid_prices, book.ask_prices
        touch = (bids[-1] if bids else None, asks[0] if asks else None)
        cell = cell_of(market, regime, now_ns)
        edges = edges_of(fair, market, inventory.position, regime, cell=cell, book=book)
        sizes = sizes_of(market, inventory.position, regime)
        if inventory.position or market.sizes_worst > context.capital_micro * market.divisor:
            sizes = affordable(sizes, edges, market, inventory, context.capital_micro)
        standing = market.learned.standing
        fresh = None
        if standing is None or not still_right(
            standing, market, edges=edges, sizes=sizes, regime=regime, touch=touch, now_ns=now_ns
        ):
            fresh = fresh_intent(market, edges, sizes, regime, now_ns)
        elif now_ns >= standing.restate_ns:
            fresh = same_intent(standing, market, now_ns)
        intent = None if fresh is None else state_intent(context, market, fresh, now_ns)
        return evaluation(
            context, market, gates, fair,
            regime=regime, parts=edges.parts, outcome="hold" if intent is None else "quote",
            intent=intent, now_ns=now_ns, alert=alert, reducing=reducing,
        )  # fmt: skip

    @property
    def markouts(self) -> MarkoutMeans:
        """Return what the price did after its fills, by the horizons of `indicators.markout`."""
        return self._shared.fills.overall

    # -- surviving a restart -----------------------------------------------------------------------

    def state(self) -> bytes:
        p = self.parameters
        return msgspec.msgpack.encode(
            SavedState(
                version=STATE_VERSION, bot=self.bot, shared=self._shared, learned=self._learned,
                oracle=p.oracle, reference=p.reference,
            )
        )  # fmt: skip

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it is not this bot's state."""
        try:
            saved = msgspec.msgpack.decode(state, type=SavedState)
        except msgspec.DecodeError as error:
            raise BadInput(f"the saved state of {self.bot} cannot be read: {error}") from None
        if saved.version != STATE_VERSION or saved.bot != self.bot:
            raise BadInput(
                f"the saved state is version {saved.version} of bot {saved.bot!r}, not version "
                f"{STATE_VERSION} of {self.bot!r}: start without it"
            )
        retune(saved, self.parameters)
        self._shared = saved.shared
        self._learned = saved.learned
        self._markets = {}
