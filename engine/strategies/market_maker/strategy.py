"""The market maker: a two-sided ladder around a fair value, skewed by what it holds.

Fair value comes from the settlement oracle led by a faster reference, or from the instrument's own
microprice. It rests quotes and never takes, says at each evaluation which gate stopped it or how
the quotes were made, and leaves a standing wish alone until an edge has moved far enough.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.domain.decisions import Gate
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
from engine.errors import BadInput, BrokenInvariant
from engine.strategies.door import Context, Evaluation, Parameters
from engine.strategies.market_maker.fair import book_fair, reference_fair
from engine.strategies.market_maker.gates import Regime, event_gate, market_gates, regime_of
from engine.strategies.market_maker.intents import (
    evaluation,
    fresh_wish,
    no_wish,
    same_wish,
    state_wish,
)
from engine.strategies.market_maker.learning import (
    learn_book,
    learn_position,
    learn_reference,
    learn_trade,
    watch_settlement,
)
from engine.strategies.market_maker.parameters import FairSource, MarketMakerParameters
from engine.strategies.market_maker.quotes import (
    Fair,
    affordable,
    edges_of,
    sizes_of,
    stands,
)
from engine.strategies.market_maker.state import (
    FILLS_WAITING_MAX,
    MS_NS,
    STATE_VERSION,
    Learned,
    MarketState,
    SavedState,
    WaitingFill,
    fresh_learned,
    fresh_shared,
    retune,
)

INSTRUMENTS_MAX = 5_000
"""Most instruments remembered at once; whoever watches more must forget closed ones."""

WAKING = frozenset({InstrumentListed, InstrumentClosed, BookDistrusted, FeedLost, FeedRestored})
"""Rare events after which the gates may answer differently."""


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
        self._markets: dict[str, MarketState] = {}

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
        gates: list[Gate] = []
        fair: Fair | None = None
        if market_gates(gates, context, market, now_ns):
            if self._referenced:
                fair = reference_fair(gates, context, market, now_ns)
            else:
                fair = book_fair(gates, view.book, market)
            if fair is not None and event_gate(gates, market, now_ns):
                return self._quote(context, market, fair, gates, now_ns)
        return self._withdraw(context, market, fair, gates, now_ns)

    @staticmethod
    def _withdraw(
        context: Context, market: MarketState, fair: Fair | None, gates: list[Gate], now_ns: int
    ) -> Evaluation:
        """Wish for nothing, once, and name the gate that failed."""
        failed = gates[-1].name
        regime = Regime.EVENT if failed == "event_cooldown" else Regime.HALTED
        standing = market.learned.standing
        intent = None
        if standing is None or not standing.empty:
            intent = state_wish(context, market, no_wish(regime), now_ns)
        return evaluation(
            context, market, gates, fair,
            regime=regime, parts=(), outcome=failed, intent=intent, now_ns=now_ns,
        )  # fmt: skip

    @staticmethod
    def _quote(
        context: Context, market: MarketState, fair: Fair, gates: list[Gate], now_ns: int
    ) -> Evaluation:
        """Keep the standing wish, state it again, or make a new one."""
        regime = regime_of(context, market, now_ns)
        inventory = context.inventory
        bids, asks = context.view.book.bid_prices, context.view.book.ask_prices
        touch = (bids[-1] if bids else None, asks[0] if asks else None)
        edges = edges_of(fair, market, inventory.position, regime, touch)
        sizes = sizes_of(market, inventory.position, regime)
        if inventory.position or market.sizes_worst > context.capital_micro * market.divisor:
            sizes = affordable(sizes, edges, market, inventory, context.capital_micro)
        standing = market.learned.standing
        wish = None
        if standing is None or not stands(
            standing, market, edges=edges, sizes=sizes, regime=regime, touch=touch, now_ns=now_ns
        ):
            wish = fresh_wish(market, edges, sizes, regime, now_ns)
        elif now_ns >= standing.restate_ns:
            wish = same_wish(standing, market, now_ns)
        intent = None if wish is None else state_wish(context, market, wish, now_ns)
        return evaluation(
            context, market, gates, fair,
            regime=regime, parts=edges.parts, outcome="hold" if intent is None else "quote",
            intent=intent, now_ns=now_ns,
        )  # fmt: skip

    # -- surviving a restart -----------------------------------------------------------------------

    def state(self) -> bytes:
        """Return what was learned, as msgpack."""
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
