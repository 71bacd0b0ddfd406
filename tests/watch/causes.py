"""What brings alerts about that cores raise: by kind, the executor or gateway to which it happened.

An executor's venue is played by hand (`tests.executor.conftest.Rig`); the alert is among its
effects. Jobs and commands raise theirs where they are kept: in the state database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

from engine.domain.commands import Kill
from engine.domain.effects import (
    CancelAll,
    CancelOrders,
    CancelScope,
    PlaceOrder,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    RaiseAlert,
)
from engine.domain.events import (
    BalancesListed,
    CashMoved,
    FillsListed,
    FillVoided,
    FundingPaid,
    InstrumentListed,
    InstrumentResolved,
    ModeChanged,
    OperationMoved,
    OperationNamed,
    OperationState,
    OperationUnanswered,
    OrderAccepted,
    OrderCancelled,
    OrderRejected,
    OrderUnanswered,
    PositionLiquidated,
    PositionsListed,
    QueryFailed,
    RedemptionsListed,
    TokensRedeemed,
    UnreadRow,
    VenueMode,
)
from engine.domain.fills import FillState
from engine.domain.instruments import InstrumentId, Kind, Leg, Mode, Side
from engine.domain.intents import Target, Urgency
from engine.domain.orders import (
    MISSES,
    Identity,
    OperationName,
    OrderId,
    OrderState,
    RejectReason,
)
from engine.domain.settings import GatewaySettings, Limit
from engine.executor.executor import ExecutorSettings
from engine.gateway.core import GatewayCore
from engine.gateway.door import Reply
from engine.live.figures import RewardsWatch
from engine.runtime.recovery import Recovered, unstopped
from storage.alerts import raise_alert
from storage.commands import claim as claim_commands
from storage.commands import leave
from storage.database import transaction
from storage.jobs import JobState, claim, finish, queue
from storage.users import ENGINE_ID
from tests.executor.conftest import ACCOUNT, BOT, LIMITS, SECOND, SHARE, Build, Rig

Cause = Callable[[], Rig]
USD = 1_000_000
NOW_NS = 10**18
BIDS = [(4_800, 100)]
M1 = InstrumentId("venue:m1")


def resting(**options: Any) -> Rig:
    rig = Rig(**options)
    rig.rest(BIDS)
    return rig


def limited(name: str, **options: Any) -> Rig:
    """Return an executor whose bid rests, with 10 USD of one limit."""
    return resting(limits=LIMITS.model_copy(update={name: Limit(absolute=10)}), **options)


def refused(reason: RejectReason) -> Rig:
    rig = Rig()
    rig.quote(BIDS)
    rig.send(1)
    rig.feed(rig.event(OrderRejected, 1, reason=reason, venue_text="no"))
    return rig


def fallen(name: str, **options: Any) -> Rig:
    rig = limited(name, **options)
    rig.feed(rig.fill(1, 100), rig.mark(best_bid=3_000, best_ask=7_000))
    rig.wait(1, rig.mark(best_bid=3_000))
    return rig


def filled(shares: float, **changes: Any) -> Rig:
    rig = resting()
    rig.feed(rig.fill(1, shares, **changes))
    return rig


def filled_better() -> Rig:
    rig = Rig()
    wanted = Target(
        bot=BOT, instrument=M1, position=100 * SHARE, limit_price=5_200, urgency=Urgency.CROSS,
        valid_until_ns=rig.now + 10**12,
    )  # fmt: skip
    rig.feed(rig.mark(), wanted)
    rig.send(1)
    rig.feed(rig.fill(1, 90, price=4_000), rig.fill(1, 40, price=4_000))
    return rig


def unsettled() -> Rig:
    rig = resting()
    fill = rig.fill(1, 100)
    rig.feed(fill)
    rig.feed(FillVoided(account=ACCOUNT, fill=fill.fill))
    return rig


def contradicted() -> Rig:
    rig = resting()
    fill = rig.fill(1, 30, state=FillState.CONFIRMED)
    rig.feed(fill)
    rig.feed(FillVoided(account=ACCOUNT, fill=fill.fill))
    return rig


def never_made() -> Rig:
    rig = Rig()
    rig.feed(rig.event(OrderAccepted, 9))
    return rig


def not_allowed() -> Rig:
    rig = Rig()
    rig.feed(rig.quotes(BIDS, name="venue:x"))
    return rig


def moved(amount: int, currency: str = "USD") -> Rig:
    rig = Rig()
    rig.feed(CashMoved(account=ACCOUNT, currency=currency, amount_micro=amount))
    return rig


def funded_twice() -> Rig:
    rig = Rig()
    for late_ns in (0, 6_000_000):
        paid = FundingPaid(
            account=ACCOUNT, instrument=M1, currency="USD", stamp_ns=28_800 * 10**9 + late_ns,
            amount_micro=-250,
        )  # fmt: skip
        rig.feed(paid)
    return rig


def liquidated() -> Rig:
    perpetual = Rig(empty=True).build.spot(kind=Kind.PERPETUAL)
    rig = Rig(instruments=(perpetual,), settings=ExecutorSettings())
    order = rig.build.order(
        1, instrument=perpetual.id, leg=Leg.BASE, side=Side.SELL, price=5_000_000, size=10_000
    )
    rig.executor.recover([order], rig.now)
    rig.feed(rig.fill(1, 0.01, price=5_000_000, state=FillState.CONFIRMED))
    size = rig.executor.ledger.owned(perpetual.id, order.bot).position
    taken = PositionLiquidated(
        account=ACCOUNT, instrument=perpetual.id, currency="USD", liquidation="1", size=size,
        value_micro=-600 * USD,
    )  # fmt: skip
    rig.feed(taken)
    return rig


def oversold() -> Rig:
    spot = Rig(empty=True).build.spot()
    rig = Rig(instruments=(spot,), settings=ExecutorSettings())
    order = rig.build.order(1, instrument=spot.id, leg=Leg.BASE, side=Side.SELL, size=10_000)
    rig.executor.recover([order], rig.now)
    rig.feed(rig.fill(1, 0.01, price=5_000_000, state=FillState.CONFIRMED))
    return rig


def asking() -> Rig:
    """Return an executor that recovered, goes on asking, and has a bid that rests."""
    rig = Rig(settings=ExecutorSettings())
    rig.feed(rig.listing(), FillsListed(account=ACCOUNT, since_ns=0, fills=()))
    rig.wait(1)
    rig.feed(rig.listing())
    rig.rest(BIDS)
    return rig


def other_cash(theirs: int) -> Rig:
    rig = asking()
    for _ in range(4):
        rig.wait(61)
        rig.feed(BalancesListed(account=ACCOUNT, cash_micro={"USD": theirs}))
        rig.feed(FillsListed(account=ACCOUNT, since_ns=0, fills=()))  # no fill explains it
        if rig.state(1) is OrderState.CANCELLING:  # a bid adds risk
            rig.feed(rig.event(OrderCancelled, 1))
    return rig


def other_tokens() -> Rig:
    rig = asking()
    rig.feed(rig.fill(1, 40, state=FillState.CONFIRMED))
    rig.wait(61)
    for holdings in (((M1, Leg.YES, 40 * SHARE),), (), ()):
        rig.feed(PositionsListed(account=ACCOUNT, holdings=holdings))
        rig.feed(FillsListed(account=ACCOUNT, since_ns=0, fills=()))
    return rig


def answered(rig: Rig, question: type, *messages: Any) -> Rig:
    """Let time pass until a question is asked, and answer it."""
    for _ in range(200):
        if question in map(type, rig.wait(0.5)):
            rig.feed(*messages)
            return rig
    raise AssertionError(f"{question.__name__} was not asked")


def lost_order() -> Rig:
    rig = asking()
    lost = rig.report(1, order=None, identity=Identity("lost"))
    return answered(rig, QueryOpenOrders, rig.listing(rig.report(1), lost))


def unread() -> Rig:
    rig = asking()
    row = UnreadRow(row="t1", reason="its price '1e9' is not known", ours=False)
    return answered(
        rig, QueryFills, FillsListed(account=ACCOUNT, since_ns=0, fills=(), unread=(row,))
    )


def unanswered() -> Rig:
    """Return an executor whose order was sent without an answer, and is asked about in vain."""
    rig = Rig()
    rig.quote(BIDS)
    rig.send(1)
    rig.feed(rig.event(OrderUnanswered, 1, reason="timeout"))
    for _ in range(200):
        rig.wait(0.5)
    return rig


def back_again() -> Rig:
    rig = asking()
    rig.feed(rig.event(OrderCancelled, 1))
    for _ in range(3):
        answered(rig, QueryOpenOrders, rig.listing(rig.report(1)))
    return rig


def failing_question(*, heals: bool = False) -> Rig:
    rig = asking()
    for _ in range(200):
        for effect in rig.wait(0.5):
            if isinstance(effect, QueryFills):
                failed = QueryFailed(
                    account=ACCOUNT, question=QueryFills.__name__, order=None,
                    reason="BadInput: /data/trades answered no page", answers=effect.number,
                )  # fmt: skip
                rig.feed(failed)
    if heals:
        answered(rig, QueryFills, FillsListed(account=ACCOUNT, since_ns=0, fills=()))
    return rig


def waiting_question() -> Rig:
    rig = Rig(settings=ExecutorSettings())
    for _ in range(200):
        rig.wait(0.5)
    return rig


def winning(**settings: Any) -> Rig:
    """Return an executor that holds 100 winning tokens, which it redeems unless `settings` say."""
    rig = Rig(settings=ExecutorSettings(starts_reconciled=True, **settings))
    rig.rest(BIDS)
    rig.feed(rig.fill(1, 100, state=FillState.CONFIRMED))
    rig.executor.withdraw(BOT, M1, rig.now)
    rig.feed(InstrumentResolved(instrument=M1, payout_yes_micro=USD, source="venue"))
    return rig


def redeemed(state: OperationState) -> Rig:
    rig = winning()
    number = rig.executor.wallet.state.last
    rig.feed(OperationMoved(account=ACCOUNT, operation=number, state=state))
    for _ in range(20):
        rig.wait(61)
        rig.feed(RedemptionsListed(account=ACCOUNT, since_ns=0, redemptions=()))
    return rig


def silent_operation() -> Rig:
    rig = winning()
    name = OperationName(identity="0xabc", nonce=4)
    number = rig.executor.wallet.state.last
    rig.feed(OperationNamed(account=ACCOUNT, operation=number, name=name))
    rig.feed(OperationUnanswered(account=ACCOUNT, operation=number, reason="silence"))
    return rig


def redeemed_more() -> Rig:
    rig = winning(redeem_above_micro=None)
    paid = TokensRedeemed(
        account=ACCOUNT, transaction="0x1", instrument=M1, yes=130 * SHARE, no=0,
        amount_micro=130 * USD, at_ns=rig.now,
    )  # fmt: skip
    rig.feed(paid)
    for _ in range(6):
        rig.wait(299)
    return rig


def paying_otherwise() -> Rig:
    """Return an executor whose bid rests in a market that pays rewards, and then none."""
    pays = {"rewards_daily_micro": 100 * USD, "rewards_spread_max": 300}
    rig = resting(instruments=(Build().binary(**pays),))
    watch = RewardsWatch()
    watch.moved(rig.executor)
    rig.feed(InstrumentListed(instrument=Build().binary()))
    rig.effects += watch.moved(rig.executor)
    return rig


CAUSES: dict[str, Cause] = {
    **{
        f"rejected_{reason}": partial(refused, reason)
        for reason in RejectReason
        if reason not in MISSES
    },
    "stop_daily_loss": partial(fallen, "daily_loss_max"),
    "stop_drawdown": partial(fallen, "drawdown_max"),
    "kill_latch": partial(fallen, "kill_drawdown_max"),
    "stop_kill_drawdown": partial(fallen, "kill_drawdown_max", risk_mode=Mode.DEMO),
    "overfilled": partial(filled, 130),
    "cash_negative": partial(filled, 100, fee_micro=2_000 * USD),
    "fee_above_fill": partial(filled, 100, fee_micro=100 * USD),
    "price_improved": filled_better,
    "fill_failed": unsettled,
    "contradiction": contradicted,
    "unknown_report": never_made,
    "intent_refused": not_allowed,
    "foreign_currency": partial(moved, 5 * USD, "EUR"),
    "funding_twice": funded_twice,
    "position_liquidated": liquidated,
    "oversold": oversold,
    "cash_differs": partial(other_cash, 900 * USD),
    "cash_surplus": partial(other_cash, 1_500 * USD),
    "position_differs": other_tokens,
    "unrecognised_order": lost_order,
    "unread_row": unread,
    "unknown_order": unanswered,
    "revived_order": back_again,
    "question_fails": failing_question,
    "question_waits": waiting_question,
    "question_answered": partial(failing_question, heals=True),
    "redeem_failed": partial(redeemed, OperationState.FAILED),
    "operation_empty": partial(redeemed, OperationState.CONFIRMED),
    "operation_unknown": silent_operation,
    "redeemed_more": redeemed_more,
    "rewards_moved": paying_otherwise,
}


# -- gateways --------------------------------------------------------------------------------------


def gateway(**changes: Any) -> GatewayCore:
    return GatewayCore(account=ACCOUNT, settings=GatewaySettings(**changes), latched=False)


def cancel_all_refused(times: int) -> GatewayCore:
    core, now_ns = gateway(), NOW_NS
    requests = core.receive(CancelAll(account=ACCOUNT, scope=CancelScope()), now_ns)
    for _ in range(times):
        requests = core.receive(Reply(number=requests[0].number, retry_after_ns=1), now_ns)
        now_ns += 60 * SECOND
        requests = requests or core.advance(now_ns)
    return core


def crowded(effect: Callable[[int], Any], **changes: Any) -> GatewayCore:
    """Return a gateway that was asked for more than it keeps waiting."""
    core = gateway(queue_max=2, **changes)
    for number in range(1, 9):
        core.receive(effect(number), NOW_NS)
    return core


def place(number: int) -> PlaceOrder:
    return PlaceOrder(order=Build().order(number))


def cancel(number: int) -> CancelOrders:
    return CancelOrders(account=ACCOUNT, orders=(OrderId(number),))


def ask(number: int) -> QueryOrder:
    return QueryOrder(account=ACCOUNT, order=OrderId(number))


def emptied() -> GatewayCore:
    core = gateway(queue_max=2, places_in_flight_max=1)
    sent = [one for number in range(1, 5) for one in core.receive(place(number), NOW_NS)]
    while sent:
        sent += core.receive(Reply(number=sent.pop().number), NOW_NS)
    return core


def closed() -> GatewayCore:
    core = gateway()
    said = ModeChanged(account=ACCOUNT, mode=VenueMode.CANCEL_ONLY, reason="503: maintenance")
    core.receive(said, NOW_NS)
    return core


GATEWAYS: dict[str, Callable[[], GatewayCore]] = {
    "place_queue": partial(crowded, place, places_in_flight_max=1),
    "place_queue_over": emptied,
    "cancel_queue": partial(crowded, cancel, cancels_burst=1, cancels_per_s=1),
    "query_queue": partial(crowded, ask, queries_burst=1, queries_per_s=1),
    "cancel_all_unanswered": partial(cancel_all_refused, 1),
    "cancel_all_stuck": partial(cancel_all_refused, 120),
    "venue_waits": closed,
}


# -- what is kept in the state database ------------------------------------------------------------


def failed_of_the_schedule(state: sqlite3.Connection, now_ns: int) -> None:
    queue(
        state, engine_id=ENGINE_ID, kind="backup", arguments="{}", who="schedule", command="",
        now_ns=now_ns,
    )  # fmt: skip
    job = claim(state, ENGINE_ID, now_ns)
    assert job is not None
    finish(state, ENGINE_ID, job, state=JobState.FAILED, now_ns=now_ns, error="no room on the disk")


def unreadable_command(state: sqlite3.Connection, now_ns: int) -> None:
    leave(state, engine_id=ENGINE_ID, id="c1", command=Kill(), who="t", now_ns=now_ns)
    state.execute("UPDATE commands SET body = x'ff'")
    assert claim_commands(state, ENGINE_ID, now_ns) == []


def crashed(state: sqlite3.Connection, now_ns: int) -> None:
    """Find at a start that the engine before was last heard running."""
    alert = unstopped(("RUNNING", now_ns), Recovered(records=7), live=2)
    assert alert is not None
    with transaction(state):
        raise_alert(state, ENGINE_ID, alert, None, now_ns)


STORED: dict[str, Callable[[sqlite3.Connection, int], None]] = {
    "job": failed_of_the_schedule,
    "bad_row": unreadable_command,
    "ended_without_stop": crashed,
}


def raised(name: str) -> RaiseAlert:
    """Bring a kind about; give the alert the core raises for it."""
    made = CAUSES[name]().effects if name in CAUSES else GATEWAYS[name]().take_alerts()
    alerts = [one for one in made if isinstance(one, RaiseAlert)]
    assert name in {one.kind for one in alerts}, f"{name} was not raised, only {alerts}"
    return next(one for one in alerts if one.kind == name)
