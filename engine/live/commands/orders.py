"""Orders by hand: placed through the gates, answered when the venue has spoken; or cancelled."""

from __future__ import annotations

import msgspec

from engine.domain.bots import AT_REST
from engine.domain.commands import Answered, CancelOrderByHand, PlaceManual
from engine.domain.events import Event, OrderCancelled, OrderNotSent, OrderRejected
from engine.domain.instruments import Instrument
from engine.domain.orders import OrderId, OrderState
from engine.errors import BadInput
from engine.executor.manual import ManualRefused
from engine.executor.orders import LiveOrder
from engine.live.commands.registry import Done, Pending, command, part
from engine.live.engine import Engine
from engine.live.proof import deafen, listen
from engine.runtime.account_runner import AccountRunner

ANSWER_NS_MAX = 20 * 1_000_000_000
"""After this without the venue's word the answer says where the order stands."""

S = OrderState


class ManualRequest(msgspec.Struct):
    """One order by hand that waits for the venue's word."""

    runner: AccountRunner
    order: OrderId
    instrument: Instrument
    since_ns: int
    cut: int
    """What risk did not allow."""
    told: Answered
    words: str = ""

    def hear(self, event: Event) -> None:
        """Take the venue's words about this order."""
        if getattr(event, "order", None) != self.order:
            return
        if isinstance(event, OrderRejected):
            self.words = f"{event.reason} {event.venue_text}".strip()
        elif isinstance(event, OrderNotSent | OrderCancelled):
            self.words = str(event.reason)


@part
class Hand:
    """Places a person's orders for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked: list[ManualRequest] = []
        engine.watchers.append(self.watch)

    def place(self, command: PlaceManual, told: Answered) -> None:
        """Place one order; `told` hears what became of it. Raises BadInput where none is placed."""
        engine, now_ns = self._engine, self._engine.clock.now_ns()
        runner = engine.runners.get(command.account)
        if runner is None:
            raise BadInput(f"there is no account {command.account!r} here")
        self._must_be_free(runner, command)
        made = runner.desk.place(command, now_ns)
        if isinstance(made, ManualRefused):
            raise BadInput(made.why)
        known, cut = made
        instrument = runner.desk.cache.views[command.instrument].instrument
        asked = ManualRequest(runner, known.order.id, instrument, now_ns, cut, told)
        self._asked.append(asked)
        listen(runner, f"order {asked.order}", asked.hear)
        runner.settle(now_ns)

    def _must_be_free(self, runner: AccountRunner, command: PlaceManual) -> None:
        for bot_runner in self._engine.bot_runners.values():
            bot = bot_runner.bot
            trades = bot_runner.runner is runner and command.instrument in bot.cells
            if trades and bot.state not in AT_REST:
                raise BadInput(
                    f"bot {bot.name} is {bot.state} and trades {command.instrument}: a second one "
                    "on the same instrument and account is refused; pause or stop the bot first"
                )

    def watch(self, now_ns: int) -> None:
        for asked in list(self._asked):
            known = asked.runner.desk.executor.record(asked.order)
            late = now_ns - asked.since_ns > ANSWER_NS_MAX
            said = None if known is None else _said(asked, known, late=late)
            if said is None and known is not None:
                continue
            self._asked.remove(asked)
            deafen(asked.runner, f"order {asked.order}")
            done, text = said or (False, f"order {asked.order} ended and is forgotten: see Orders")
            asked.told(done, text)


def _said(asked: ManualRequest, known: LiveOrder, *, late: bool) -> tuple[bool, str] | None:
    """Return the answer about an order; None = the venue has not said enough yet."""
    instrument, order = asked.instrument, known.order
    size = f"{instrument.size_decimal(order.size):f}"
    name = f"order {order.id} ({order.side} {size} {order.leg} at "
    name += f"{instrument.price_decimal(order.price):f})"
    if asked.cut:
        whole = instrument.size_decimal(order.size + asked.cut)
        name += f", all that risk allows of {whole:f},"
    filled = f"{instrument.size_decimal(known.filled):f}"
    match known.state:
        case S.OPEN | S.PARTIAL:
            return True, f"{name} is accepted and rests" + (
                f", {filled} filled" * (known.filled > 0)
            )
        case S.FILLED:
            return True, f"{name} is filled"
        case S.CANCELLED | S.EXPIRED if known.filled:
            return True, f"{name} is over with {filled} filled: {asked.words or known.state}"
        case S.REJECTED:
            return False, f"{name} is rejected: {asked.words or 'without a reason'}"
        case S.CANCELLED | S.EXPIRED:
            return False, f"{name} is over with nothing filled: {asked.words or known.state}"
        case S.UNKNOWN if late:
            return False, f"{name} is UNKNOWN: no answer; it is asked about and never sent again"
        case _ if late:
            return False, f"{name} is still {known.state}: look at Orders"
        case _:
            return None


@command(PlaceManual)
def place(engine: Engine, command: PlaceManual, who: str) -> Pending:
    """Place one order by hand; answered when the venue has spoken."""
    del who
    pending = Pending()
    engine.part(Hand).place(command, pending.done_or_failed)
    return pending


@command(CancelOrderByHand, makes_safe=True)
def cancel(engine: Engine, command: CancelOrderByHand, who: str) -> Done:
    """Cancel one order by hand. Raises BadInput where it cannot be open."""
    del who
    runner = engine.runners.get(command.account)
    if runner is None:
        raise BadInput(f"there is no account {command.account!r} here")
    known = runner.desk.executor.record(command.order)
    if known is None or known.state.ended:
        stands = "unknown" if known is None else f"already {known.state}"
        raise BadInput(f"order {command.order} of {command.account} is {stands}")
    if known.state is S.UNKNOWN:
        text = "its cancel is sent; it stays UNKNOWN until the venue has said what became of it"
    else:
        text = "its cancel is sent; the order says CANCELLED when the venue has confirmed it"
    runner.cancel(command.order, engine.clock.now_ns())
    return Done(text)
