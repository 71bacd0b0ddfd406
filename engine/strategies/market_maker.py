"""The market maker: a two-sided ladder around a fair value, skewed by what it holds.

Fair value comes from the settlement oracle led by a faster reference, or from the instrument's own
microprice. It rests quotes and never takes, says at each evaluation which gate stopped it or how
the quotes were made, and leaves a standing wish alone until an edge has moved far enough.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.domain.decisions import Decision, Gate
from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookReplaced,
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
from engine.domain.instruments import BotId, Instrument, InstrumentId
from engine.domain.intents import Quotes
from engine.errors import BadInput, BrokenInvariant
from engine.strategies.door import Context, Evaluation, Parameters
from engine.strategies.market_maker_fair import book_fair, reference_fair
from engine.strategies.market_maker_gates import Regime, event_gate, market_gates, regime_of
from engine.strategies.market_maker_learning import (
    learn_book,
    learn_position,
    learn_reference,
    learn_trade,
    watch_settlement,
)
from engine.strategies.market_maker_parameters import FairSource, MarketMakerParameters
from engine.strategies.market_maker_quotes import (
    Edges,
    Fair,
    affordable,
    edges_of,
    ladder,
    sizes_of,
    stands,
)
from engine.strategies.market_maker_state import (
    FILLS_WAITING_MAX,
    STATE_VERSION,
    UNBOUNDED,
    Learned,
    Market,
    Saved,
    Sizes,
    Standing,
    WaitingFill,
    fresh_learned,
    fresh_shared,
    retune,
)

INSTRUMENTS_MAX = 5_000
"""Most instruments remembered at once; whoever watches more must forget closed ones."""

WAKING = frozenset({InstrumentListed, InstrumentClosed, BookDistrusted, FeedLost, FeedRestored})
"""Rare events after which the gates may answer differently."""

MS_NS = 1_000_000


class MarketMaker:
    """One market maker for all instruments of one bot. Implements `strategies.door.Strategy`."""

    name: ClassVar[str] = "market_maker"
    parameters_type: ClassVar[type[Parameters]] = MarketMakerParameters
    mid2_moved_min = 0

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
        self._markets: dict[str, Market] = {}

    # -- hearing -----------------------------------------------------------------------------------

    def hear(self, event: Event, now_ns: int) -> bool:
        """Take an event into the indicators. True = evaluate the instrument soon.

        Books wake without a look at them: the cache holds them, and `replan_ns_min` limits how
        often they are looked at.
        """
        kind = type(event)
        if kind is BookChanged or kind is BookReplaced:
            return True
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
        return kind in WAKING

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

    def _market(self, instrument: Instrument) -> Market:
        market = self._markets.get(instrument.id)
        if market is not None and market.instrument is instrument:
            return market
        if market is None:
            market = Market(instrument, self._learned_of(instrument.id), self.parameters)
            self._markets[instrument.id] = market
        else:
            market.adopt(instrument, self.parameters)
        watch_settlement(market.learned, instrument, self._shared, self.parameters)
        return market

    # -- evaluating --------------------------------------------------------------------------------

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Say what to quote in `context.view.instrument`, and why."""
        p = self.parameters
        market = self._market(context.view.instrument)
        learned = market.learned
        if learned.waiting:
            learn_position(market, context.inventory.position, now_ns)
        else:
            learned.position = context.inventory.position
        learn_book(market, context.view, self._shared, p, now_ns)
        gates: list[Gate] = []
        fair: Fair | None = None
        if market_gates(gates, context, market, p, now_ns):
            if self._referenced:
                fair = reference_fair(gates, context, market, self._shared, p, now_ns)
            else:
                fair = book_fair(gates, context.view.book, market, p)
            if fair is not None and event_gate(gates, learned, self._shared, now_ns):
                return self._quote(context, market, fair, gates, now_ns)
        return self._withdraw(context, market, fair, gates, now_ns)

    def _withdraw(
        self,
        context: Context,
        market: Market,
        fair: Fair | None,
        gates: list[Gate],
        now_ns: int,
    ) -> Evaluation:
        """Wish for nothing, once, and name the gate that failed."""
        failed = gates[-1].name
        regime = Regime.EVENT if failed == "event_cooldown" else Regime.HALTED
        standing = market.learned.standing
        intent = None
        if standing is None or not standing.empty:
            intent = self._state(
                context, market, _nothing(regime), now_ns + self.parameters.valid_for_ms * MS_NS
            )
        decision = self._decision(context, market, regime, fair, (), gates, failed, intent, now_ns)
        return Evaluation(decision=decision, intents=() if intent is None else (intent,))

    def _quote(
        self, context: Context, market: Market, fair: Fair, gates: list[Gate], now_ns: int
    ) -> Evaluation:
        p = self.parameters
        regime = regime_of(context, market, p, now_ns)
        view, inventory = context.view, context.inventory
        bid_prices, ask_prices = view.book.bid_prices, view.book.ask_prices
        touch = (
            bid_prices[-1] if bid_prices else None,
            ask_prices[0] if ask_prices else None,
        )
        edges = edges_of(fair, market, inventory.position, regime, self._shared.means, touch, p)
        sizes = sizes_of(market, inventory, regime, p.levels)
        if inventory.position or market.sizes_worst > context.capital_micro * market.divisor:
            sizes = affordable(*sizes, market, inventory, edges, context.capital_micro)
        standing = market.learned.standing
        outcome, intent = "hold", None
        if standing is None or not stands(standing, edges, sizes, regime, touch, market, now_ns):
            outcome = "quote"
            fresh = self._fresh(edges, sizes, market, regime, now_ns)
            intent = self._state(context, market, fresh, fresh.valid_until_ns)
        elif now_ns >= standing.restate_ns:
            outcome = "quote"
            again = self._again(standing, market, now_ns)
            intent = self._state(context, market, again, again.valid_until_ns)
        decision = self._decision(
            context, market, regime, fair, edges.parts, gates, outcome, intent, now_ns
        )  # fmt: skip
        return Evaluation(decision=decision, intents=() if intent is None else (intent,))

    def _fresh(
        self,
        edges: Edges,
        sizes: tuple[Sizes, Sizes],
        market: Market,
        regime: Regime,
        now_ns: int,
    ) -> Standing:
        bids, asks = ladder(*sizes, edges, market, self.parameters.level_step_ticks)
        restate_ns, valid_until_ns = self._times(market, bool(bids or asks), now_ns)
        return Standing(
            bids=bids,
            asks=asks,
            bid_sizes=sizes[0],
            ask_sizes=sizes[1],
            bid_edge=edges.bid,
            ask_edge=edges.ask,
            tick=market.tick,
            regime=regime,
            restate_ns=restate_ns,
            valid_until_ns=valid_until_ns,
        )

    def _again(self, standing: Standing, market: Market, now_ns: int) -> Standing:
        """Return the same wish for longer; its edges stay, so that hysteresis cannot creep."""
        restate_ns, valid_until_ns = self._times(market, True, now_ns)
        return msgspec.structs.replace(
            standing, restate_ns=restate_ns, valid_until_ns=valid_until_ns
        )

    def _times(self, market: Market, resting: bool, now_ns: int) -> tuple[int, int]:
        """Return (restate, valid until). A wish ends by itself when the close comes too near."""
        p = self.parameters
        valid_until_ns = now_ns + p.valid_for_ms * MS_NS
        if market.stop_ns is not None:
            valid_until_ns = min(valid_until_ns, market.stop_ns)
        return (now_ns + p.refresh_ms * MS_NS if resting else UNBOUNDED), valid_until_ns

    def _state(
        self, context: Context, market: Market, standing: Standing, valid_until_ns: int
    ) -> Quotes:
        market.learned.standing = standing
        return Quotes(
            bot=context.bot,
            instrument=market.instrument.id,
            bids=standing.bids,
            asks=standing.asks,
            valid_until_ns=valid_until_ns,
            decision=context.decision,
        )

    def _decision(
        self,
        context: Context,
        market: Market,
        regime: str,
        fair: Fair | None,
        parts: tuple[tuple[str, float], ...],
        gates: list[Gate],
        outcome: str,
        intent: Quotes | None,
        now_ns: int,
    ) -> Decision:
        scale = market.scale
        book = context.view.book
        bids, asks = book.bid_prices, book.ask_prices
        inputs: tuple[tuple[str, float], ...] = (
            ("position_shares", context.inventory.position * market.size_scale),
            ("capital", context.capital_micro * 1e-6),
            *((("best_bid", bids[-1] * scale),) if bids else ()),
            *((("best_ask", asks[0] * scale),) if asks else ()),
        )
        if fair is not None:
            inputs += fair.inputs
            parts = fair.build_up + parts
        provenance = market.learned.provenance
        return Decision(
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
            notes=(("strike_provenance", provenance),) if provenance else (),
        )

    # -- surviving a restart -----------------------------------------------------------------------

    def state(self) -> bytes:
        """Return what was learned, as msgpack."""
        return msgspec.msgpack.encode(
            Saved(version=STATE_VERSION, bot=self.bot, shared=self._shared, learned=self._learned)
        )

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it is not this bot's state."""
        try:
            saved = msgspec.msgpack.decode(state, type=Saved)
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


def _nothing(regime: Regime) -> Standing:
    """Return the empty wish: it stands until something can be quoted."""
    return Standing(regime=regime)
