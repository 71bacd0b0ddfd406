"""A strategy that bids two ticks below the middle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Decision
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.intents import Quotes
from engine.strategies.door import Context, Evaluation, Parameters

from ..indicators.middle import middle

S = 1_000_000_000


class PingerParameters(Parameters):
    """How much it bids."""

    lots: Annotated[int, Field(ge=1, le=10_000)] = 500
    """lots: how much each bid asks for

    Enough to be seen in a toy's book. Cost: what a marble costs.
    """


class Pinger:
    """Bids the same size wherever both sides of a book stand."""

    name: ClassVar[str] = "pinger"
    parameters_type: ClassVar[type[Parameters]] = PingerParameters
    gates: ClassVar[Mapping[str, GateWords]] = {}
    values: ClassVar[Mapping[str, ValueWords]] = {}

    def __init__(self, parameters: PingerParameters, bot: BotId) -> None:
        self._lots = parameters.lots
        self._bot = bot
        self.replan_ns_min = self.timer_ns = S
        self.mid2_moved_min = 0
        self.touch_alone = False
        self.references: tuple[str, ...] = ()

    def receive(self, event: Event, now_ns: int) -> bool:
        """Look at everything."""
        del event, now_ns
        return True

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Bid below the middle."""
        instrument, at = context.view.instrument, middle(context.view.book)
        bids = () if at is None else ((at - 2 * instrument.tick, self._lots * instrument.lot),)
        intent = Quotes(
            bot=self._bot,
            instrument=instrument.id,
            bids=bids,
            asks=(),
            valid_until_ns=now_ns + 60 * S,
            decision=context.decision,
        )
        decision = Decision(
            number=context.decision,
            bot=self._bot,
            instrument=instrument.id,
            at_ns=now_ns,
            regime="ping",
            inputs=(),
            build_up=(),
            gates=(),
            outcome="quote",
            intent=intent,
        )
        return Evaluation(decision=decision, intents=(intent,))

    def forget(self, instrument: InstrumentId) -> None:
        """Know nothing of it anyway."""

    def state(self) -> bytes:
        """Return nothing: it learns nothing."""
        return b""

    def restore(self, state: bytes) -> None:
        """Take nothing back."""
