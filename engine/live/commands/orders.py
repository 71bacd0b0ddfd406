"""Orders by hand: placed through the gates, answered when the venue has spoken; or cancelled.

And one market by hand: received for whoever looks at it, and a whole position closed within a cap.
"""

from __future__ import annotations

import msgspec

from engine.caches.views import BookView
from engine.domain.bots import AT_REST
from engine.domain.commands import MANUAL, Answered, CancelOrderByHand, PlaceManual
from engine.domain.commands.trading import Flatten, FollowMarket
from engine.domain.events import Event, OrderCancelled, OrderNotSent, OrderRejected
from engine.domain.inputs import Withdrawn
from engine.domain.instruments import BotId, Instrument, InstrumentId, is_bid
from engine.domain.legs import traded
from engine.domain.orders import Order, OrderId, OrderState
from engine.domain.words import LEFT
from engine.errors import BadInput
from engine.executor.manual import ManualRefused, ManualWaits
from engine.executor.orders import LiveOrder
from engine.executor.plan import ROOM_NS_MAX
from engine.live.accounts import Accounts
from engine.live.commands.registry import (
    Done,
    Pending,
    Refused,
    command,
    marked,
    part,
    runner_of,
    trading_runner_of,
)
from engine.live.engine import Engine
from engine.runtime.account_runner import AccountRunner
from engine.runtime.bot_runner import RETREAT_EVERY_NS, way_out
from storage.commands import MarkKind, StandingMark

ANSWER_NS_MAX = 20 * 1_000_000_000
"""After this without the venue's word the answer says where the order stands."""

FILLS_NS_MAX = 5 * 1_000_000_000
"""An accepted order that meets the book rests only if its fills have not come by then."""

S = OrderState


class ManualRequest(msgspec.Struct):
    """One order by hand that waits for the venue's word."""

    runner: AccountRunner
    order: OrderId
    instrument: Instrument
    since_ns: int
    rests_ns: int
    """From when on an open order is said to rest."""
    cut: int
    """What risk did not allow."""
    answer: Answered
    words: str = ""

    def receive(self, event: Event) -> None:
        if getattr(event, "order", None) != self.order:
            return
        if isinstance(event, OrderRejected):
            self.words = f"{event.reason} {event.venue_text}".strip()
        elif isinstance(event, OrderNotSent | OrderCancelled):
            self.words = str(event.reason)


class AskedByHand(msgspec.Struct):
    """An order a person asked for, until it is placed: bots make room for one that takes first."""

    command: PlaceManual
    pending: Pending
    since_ns: int
    met: tuple[OrderId, ...] = ()
    """The bots' orders it waits for."""


def must_rest(engine: Engine, owner: BotId) -> None:
    """Raise BadInput where a person acts for a bot that runs: its own plans would undo it."""
    bot_runner = engine.bot_runners.get(owner)
    if bot_runner is not None and bot_runner.bot.state not in AT_REST:
        raise BadInput(
            f"bot {owner} is {bot_runner.bot.state}: its next plan would undo what is done for it "
            f"by hand; pause or stop it first, or act for {MANUAL}"
        )


@part
class ManualOrders:
    """Places a person's orders for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[AskedByHand] = []
        self._requests: list[ManualRequest] = []
        engine.watchers.append(self.watch)

    @command(PlaceManual)
    def place(self, command: PlaceManual, _who: str) -> Pending:
        """Place one order; answered when the venue has spoken. Raises BadInput."""
        asked = AskedByHand(command, Pending(), self._engine.clock.now_ns())
        self._place(asked, asked.since_ns)
        return asked.pending

    def _place(self, asked: AskedByHand, now_ns: int) -> None:
        """Place it, or wait until the bots' levels it would meet are gone. Raises BadInput."""
        engine, command = self._engine, asked.command
        runner = trading_runner_of(engine, command.account)
        must_rest(engine, command.owner)
        made = runner.core.place(command, now_ns)
        if isinstance(made, ManualRefused):
            raise BadInput(made.why)
        if isinstance(made, ManualWaits):
            asked.met = made.orders
            self._waiting.append(asked)
            runner.settle(now_ns)
            return
        known, cut = made
        view = runner.core.cache.views[command.instrument]
        rests_ns = now_ns + FILLS_NS_MAX * _meets(known.order, view)
        answer = asked.pending.done_or_failed
        request = ManualRequest(
            runner, known.order.id, view.instrument, now_ns, rests_ns, cut, answer
        )
        self._requests.append(request)
        runner.on_report[f"order {request.order}"] = request.receive
        runner.settle(now_ns)

    def _place_again(self, asked: AskedByHand, now_ns: int) -> None:
        """Place what waited once nothing is in its way; refuse it where that takes too long."""
        runner = self._engine.runners.get(asked.command.account)
        records = [] if runner is None else map(runner.core.executor.record, asked.met)
        met = [known.order for known in records if known is not None and not known.state.ended]
        late = now_ns - asked.since_ns >= ROOM_NS_MAX
        if met and not late:
            return
        self._waiting.remove(asked)
        if met:
            asked.pending.give(
                Refused(
                    f"it would trade with our own order {met[0].id} of {met[0].bot}, whose cancel "
                    "has not been confirmed: nothing was placed"
                )
            )
            return
        try:
            self._place(asked, now_ns)
        except BadInput as error:
            asked.pending.give(Refused(str(error)))

    def watch(self, now_ns: int) -> None:
        for waiting in list(self._waiting):
            self._place_again(waiting, now_ns)
        for asked in list(self._requests):
            known = asked.runner.core.executor.record(asked.order)
            reply = None if known is None else _answer(asked, known, now_ns)
            if reply is None and known is not None:
                continue
            self._requests.remove(asked)
            asked.runner.on_report.pop(f"order {asked.order}", None)
            done, text = reply or (
                False,
                f"order {asked.order} ended and is no longer tracked: see Orders",
            )
            asked.answer(done, text)


def _meets(order: Order, view: BookView) -> bool:
    """Say whether an order meets the book as it stands: then its fills follow its acceptance."""
    level = view.instrument.product.level(order.leg, order.price)
    if is_bid(order.side, order.leg):
        return view.best_ask is not None and level >= view.best_ask
    return view.best_bid is not None and level <= view.best_bid


def _answer(request: ManualRequest, known: LiveOrder, now_ns: int) -> tuple[bool, str] | None:
    """Return the answer about an order; None = the venue has not said enough yet."""
    instrument, order = request.instrument, known.order
    late = now_ns - request.since_ns > ANSWER_NS_MAX
    size, filled, whole = (
        instrument.size_text(one) for one in (order.size, known.filled, order.size + request.cut)
    )
    price = instrument.price_words(order.price)
    name = f"order {order.id} ({order.side} {size}{traded(order.leg)} at {price})"
    if request.cut:
        name += f", all that risk allows of {whole},"
    match known.state:
        case S.OPEN | S.PARTIAL if now_ns < request.rests_ns:
            return None
        case S.OPEN | S.PARTIAL:
            return True, f"{name} is accepted and rests" + (
                f", {filled} filled" * (known.filled > 0)
            )
        case S.FILLED:
            return True, f"{name} is filled"
        case S.CANCELLED | S.EXPIRED if known.filled:
            return True, f"{name} ended with {filled} filled: {request.words or known.state}"
        case S.REJECTED:
            return False, f"{name} is rejected: {request.words or 'without a reason'}"
        case S.CANCELLED | S.EXPIRED:
            return False, f"{name} ended with nothing filled: {request.words or known.state}"
        case S.UNKNOWN if late:
            return False, f"{name} is UNKNOWN: no answer; we ask the venue and never resend it"
        case _ if late:
            return False, f"{name} is still {known.state}: look at Orders"
        case _:
            return None


@command(CancelOrderByHand, makes_safe=True)
def cancel(engine: Engine, command: CancelOrderByHand, _who: str) -> Done:
    """Cancel one order by hand. Raises BadInput where it cannot be open."""
    runner = runner_of(engine, command.account)
    known = runner.core.executor.record(command.order)
    if known is None or known.state.ended:
        state = "unknown" if known is None else f"already {known.state}"
        raise BadInput(f"order {command.order} of {command.account} is {state}")
    if known.state is S.UNKNOWN:
        text = "its cancel is sent; it stays UNKNOWN until the venue reports what became of it"
    else:
        text = "its cancel is sent; the order shows CANCELLED when the venue has confirmed it"
    runner.cancel(command.order, engine.clock.now_ns())
    return Done(text)


# -- One market by hand: received for a person who looks at it, and left at once within a cap ------

FOLLOWED_MAX = 100
"""Markets an account receives only because somebody looks at them."""

FLATTEN_NS_MAX = 15 * 1_000_000_000
"""How long it is tried before the answer says what is left."""


@command(FollowMarket)
def follow(engine: Engine, command: FollowMarket, who: str) -> Pending:
    """Have an account receive a market, or no more; it survives a restart. Raises BadInput."""
    runner, name = runner_of(engine, command.account), command.instrument
    followed = engine.followed.setdefault(runner.account, {})
    text = f"{name} is followed at {command.account} until you stop following it or it is resolved"
    if not command.on:
        followed.pop(name, None)
        text = f"{name} is no longer followed: it is received while a bot or an order needs it"
    else:
        market = engine.part(Accounts).venues.markets.get(name.partition(":")[0])
        if name not in runner.core.cache.views and not (market and market.may_be(name)):
            raise BadInput(f"{name} is not a market that can be received here")
        if name not in followed and len(followed) >= FOLLOWED_MAX:
            raise BadInput(
                f"{FOLLOWED_MAX} markets are followed at {command.account}: stop following one "
                "first"
            )
        followed[name] = None
    given = StandingMark(
        account=runner.account,
        kind=MarkKind.FOLLOWED,
        subject=name,
        who=who,
        at_ns=engine.wall_ns(),
    )
    return marked(engine, given, text, on=command.on)


class Flattening(msgspec.Struct):
    """One position that is being closed."""

    runner: AccountRunner
    instrument: InstrumentId
    slip: int
    size: int
    """The position it began with, signed, in increments."""
    since_ns: int
    answer: Answered
    touched: dict[InstrumentId, int] = {}
    retreated_ns: int = 0
    owner: BotId = MANUAL


@part
class Flattener:
    """Closes positions for one engine, through the planner and the gate like a bot that exits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._requests: list[Flattening] = []
        engine.watchers.append(self.watch)

    @command(Flatten)
    def begin(self, given: Flatten, _who: str) -> Pending:
        """Close what is held in a market; answered when it is flat, or cannot be."""
        pending = Pending()
        runner, name = runner_of(self._engine, given.account), given.instrument
        must_rest(self._engine, given.owner)
        executor, view = runner.core.executor, runner.core.cache.views.get(name)
        owner = given.owner
        position = executor.ledger.owned(name, owner).position
        if not position:
            others = [other for other in executor.owners(name) if other != owner]
            whose = f"; held there by {', '.join(others)}" if others else ""
            raise BadInput(
                f"{owner} holds nothing in {name} at {given.account} that could be closed{whose}"
            )
        place = (runner, name, owner)
        if any((one.runner, one.instrument, one.owner) == place for one in self._requests):
            raise BadInput(f"{name} is being closed already")
        if view is None or view.closed or not view.trusted:
            raise BadInput(f"no trusted book of {name} is received: nothing is sold without one")
        if not executor.healthy:
            raise BadInput(f"{given.account} places nothing now: {'; '.join(executor.reasons)}")
        now_ns = self._engine.clock.now_ns()
        one = Flattening(
            runner, name, given.slippage_max, position, now_ns, pending.done_or_failed, owner=owner
        )
        if way_out(runner.core, name, owner, now_ns, slip=one.slip, touched=one.touched) is None:
            side = "bids" if position > 0 else "offers"
            raise BadInput(f"nobody {side} in {name}: there is no price to measure the cap from")
        self._requests.append(one)
        self.watch(now_ns)
        return pending

    def watch(self, now_ns: int) -> None:
        """State the intents that are due, and answer what is over."""
        for one in list(self._requests):
            core, name = one.runner.core, one.instrument
            view = core.cache.views.get(name)
            left = core.executor.ledger.owned(name, one.owner).position
            late = now_ns - one.since_ns > FLATTEN_NS_MAX
            if not left or late or view is None or view.closed:
                self._requests.remove(one)
                text = self._answer(one, left)
                # Its last intent would close at once whatever is bought here in the next seconds.
                core.receive(Withdrawn(one.runner.account, one.owner, name), now_ns)
                one.runner.settle(now_ns)
                one.answer(not left, text)
            elif now_ns - one.retreated_ns >= RETREAT_EVERY_NS:
                one.retreated_ns = now_ns
                target = way_out(core, name, one.owner, now_ns, slip=one.slip, touched=one.touched)
                if target is not None:
                    core.set_target(target, now_ns)
                    one.runner.settle(now_ns)

    def _answer(self, one: Flattening, left: int) -> str:
        executor = one.runner.core.executor
        instrument = executor.ledger.state.instruments[one.instrument]
        size = instrument.size_text(abs(one.size))
        began = instrument.price_words(one.touched[one.instrument])
        cap = f"{instrument.price_words(one.slip)} from {began}"
        if not left:
            return f"{one.instrument} is flat: {size} closed within {cap}"
        rest = instrument.size_text(abs(left))
        residuals, denied = executor.explain(one.instrument, one.owner)
        why = [str(denied.reason).replace("_", " ")] if denied is not None else []
        why += dict.fromkeys(LEFT[residual.reason] for residual in residuals)
        reason = "; ".join(why) or "the market is closed or not received any more"
        return f"{rest} of {size} in {one.instrument} are left, within {cap}: {reason}"
