"""The desk over the real executor: who is evaluated when, and what reaches the executor."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from engine.bots.bot import Bot, inventory_of
from engine.domain.bots import BotState
from engine.domain.effects import CancelOrders, PlaceOrder, RaiseAlert, Severity
from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookMarked,
    BookReplaced,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    OrderCancelled,
    ReferencePriced,
    StrikeProven,
    TimerFired,
    TradePrinted,
)
from engine.domain.fills import FillState
from engine.domain.instruments import InstrumentId, Leg, Side
from engine.domain.intents import Basket, Quotes, ResidualReason, Target
from engine.domain.observed_events import Observed
from engine.domain.orders import OrderState

MS = 1_000_000
S = 1_000 * MS
SHARE = 1_000_000
ONE, TWO = InstrumentId("venue:one"), InstrumentId("venue:two")
Make = Callable[..., Any]


@pytest.fixture
def script(make_script: Make) -> Any:
    return make_script()


@pytest.fixture
def stage(make_stage: Make, make_bot: Make, script: Any) -> Any:
    """A running desk with one bot that has just been shown one instrument, at ten seconds."""
    stage = make_stage(make_bot(strategy=script))
    stage.list()
    stage.at(stage.now + 100 * MS)
    return stage


# -- when a strategy is evaluated ------------------------------------------------------------------


def test_events_in_a_row_are_evaluated_no_oftener_than_the_debounce(
    stage: Any, script: Any
) -> None:
    for step in range(40):
        stage.change(4_700, 1 + step, after_ms=7)
    times = [at for at in script.times() if at > stage.now - 40 * 7 * MS]
    assert len(times) == 6
    assert {later - earlier for earlier, later in pairwise(times)} == {50 * MS}


def test_event_after_a_pause_is_evaluated_at_its_own_moment(stage: Any, script: Any) -> None:
    stage.change(4_700, after_ms=300)
    assert script.times()[-1] == stage.now


def test_quiet_instrument_is_evaluated_by_the_timer(stage: Any, script: Any) -> None:
    first = script.times()[-1]
    stage.at(stage.now + 3_500 * MS)
    assert script.times()[-3:] == [first + S, first + 2 * S, first + 3 * S]


def test_wake_that_falls_on_the_timer_is_one_evaluation(stage: Any, script: Any) -> None:
    for _ in range(200):
        stage.change(4_700, after_ms=10)
    stage.at(stage.now + S)
    times = script.times()
    assert len(times) > 20
    assert len(times) == len(set(times))


def test_only_the_time_that_counts_is_due(stage: Any, script: Any) -> None:
    stage.change(4_700, after_ms=300)
    evaluated = script.times()[-1]
    stage.change(4_600, after_ms=7)
    # The timer it was given when it was evaluated is no longer its time: the wake comes before.
    assert stage.core.due_ns == evaluated + 50 * MS
    stage.at(evaluated + 50 * MS)
    assert script.times()[-1] == evaluated + 50 * MS
    assert stage.core.due_ns % S == 0  # nothing but the second's tick


def test_who_is_ready_is_due_at_once(stage: Any, script: Any) -> None:
    stage.at(stage.now + 300 * MS)
    stage.core.market(BookChanged(instrument=ONE, changes=((Side.BUY, 4_700, 5),)), stage.now)
    assert stage.core.due_ns == 0
    stage.turn()
    assert stage.core.due_ns > stage.now


def test_without_a_debounce_every_event_is_evaluated(
    make_stage: Make, make_bot: Make, make_script: Make
) -> None:
    script = make_script(replan_ns_min=0)
    stage = make_stage(make_bot(strategy=script))
    stage.list()
    before = len(script.asked)
    stage.change(4_700)
    stage.change(4_600)
    assert len(script.asked) == before + 2


def test_only_a_move_of_the_mid_wakes_a_strategy_that_asks_for_it(
    make_stage: Make, make_bot: Make, make_script: Make
) -> None:
    script = make_script(mid2_moved_min=200, timer_ns=3_600 * S)
    stage = make_stage(make_bot(strategy=script))
    stage.list()
    stage.at(stage.now + 100 * MS)
    woken = len(script.asked)
    stage.change(4_700, after_ms=100)
    stage.change(4_900, after_ms=100)  # half of what it asked for
    assert len(script.asked) == woken
    stage.change(5_000, after_ms=100)
    assert len(script.asked) == woken + 1
    stage.book(bid=4_900, after_ms=100)  # back, less than a whole move from where it was woken
    assert len(script.asked) == woken + 1
    assert not [e for e in script.received if isinstance(e, BookChanged | BookReplaced)]


def test_book_without_two_sides_moves_no_mid(
    make_stage: Make, make_bot: Make, make_script: Make
) -> None:
    script = make_script(mid2_moved_min=1, timer_ns=3_600 * S)
    stage = make_stage(make_bot(strategy=script))
    stage.list(TWO)
    stage.at(stage.now + 100 * MS)
    woken = len(script.asked)
    stage.market(BookReplaced(instrument=TWO, bids=(), asks=()), after_ms=100)
    assert len(script.asked) == woken


def test_only_the_touch_a_snapshot_and_a_trade_wake_a_strategy_that_reads_no_deeper(
    make_stage: Make, make_bot: Make, make_script: Make
) -> None:
    script = make_script(touch_alone=True, timer_ns=3_600 * S)
    stage = make_stage(make_bot(strategy=script))
    stage.list()
    stage.change(4_700, after_ms=100)  # below the best bid
    stage.change(4_700, 9, after_ms=100)
    assert len(script.times()) == 2  # the list and its snapshot
    stage.change(4_800, after_ms=100)  # another size at the best bid
    stage.change(4_900, after_ms=100)  # a better bid
    stage.change(4_900, 0, after_ms=100)  # gone: the one below is the touch again
    stage.book(after_ms=100)
    stage.book(after_ms=100)  # the same again, which may have mended a lost book
    trade = TradePrinted(instrument=ONE, price=4_800, size=1, aggressor=None)
    stage.market(trade, after_ms=100)
    assert len(script.times()) == 8
    assert not [e for e in script.received if isinstance(e, BookChanged | BookReplaced)]
    assert trade in script.received


def test_quiet_strategy_receives_the_market_and_sleeps_until_its_timer(
    make_stage: Make, make_bot: Make, make_script: Make
) -> None:
    script = make_script(references=("chainlink:btc/usd",))
    stage = make_stage(make_bot(strategy=script))
    script.quiet = True
    stage.list()
    stage.at(stage.now + 100 * MS)
    asked_ns, received = script.times()[-1], len(script.received)
    stage.change(4_900, after_ms=100)
    stage.book(bid=4_700, after_ms=100)
    stage.market(TradePrinted(instrument=ONE, price=4_800, size=1, aggressor=None), after_ms=100)
    stage.market(ReferencePriced(key="chainlink:btc/usd", price_e8=1, exchange_ns=1), after_ms=100)
    assert (script.times()[-1], len(script.received) - received) == (asked_ns, 4)
    script.quiet = False
    stage.at(asked_ns + 1 * S)
    assert script.times()[-1] == asked_ns + 1 * S
    stage.change(5_000, after_ms=100)
    assert script.times()[-1] == stage.now


@pytest.mark.parametrize("news", ["fill", "terms", "lost book"])
def test_own_fill_new_terms_and_a_lost_book_wake_a_quiet_strategy(
    make_stage: Make, make_bot: Make, make_script: Make, intent: Make, news: str
) -> None:
    script = make_script()
    script.say = lambda context, _: (intent(context, bid=4_700),)
    stage = make_stage(make_bot(strategy=script))
    instrument = stage.list()
    stage.at(stage.now + 100 * MS)
    stage.accept(*stage.placed)
    script.quiet = True
    stage.at(stage.now + 1500 * MS)
    asked = len(script.asked)
    if news == "fill":
        stage.fill(stage.placed[0], 1)
    elif news == "terms":
        stage.market(InstrumentListed(instrument=msgspec.structs.replace(instrument, tick=200)))
    else:
        stage.market(BookDistrusted(instrument=ONE, reason="hash"))
        assert len(script.asked) == asked + 1
        stage.book(after_ms=100)  # a lost book is never quiet: its snapshot wakes
        asked += 1
    assert len(script.asked) == asked + 1


def test_bot_that_does_not_run_is_not_evaluated(
    make_stage: Make, make_bot: Make, make_script: Make
) -> None:
    script, other = make_script(), make_script()
    paused = make_bot("paused", script, instruments=frozenset({ONE}))
    stage = make_stage(paused, make_bot("other", other, instruments=frozenset({TWO})))
    paused.state = BotState.PAUSED
    stage.list(ONE)
    stage.list(TWO)
    assert not script.asked
    assert other.asked


def test_decisions_are_numbered_without_gaps_over_all_bots(
    make_stage: Make, make_bot: Make
) -> None:
    one = make_bot("one", instruments=frozenset({ONE}))
    two = make_bot("two", instruments=frozenset({TWO}))
    stage = make_stage(one, two)
    stage.list(ONE)
    stage.list(TWO)
    stage.at(stage.now + 3 * S)
    assert [decision.number for decision in stage.decisions] == list(
        range(1, 1 + len(stage.decisions))
    )
    assert one.evaluations + two.evaluations == len(stage.decisions) > 6


@pytest.mark.parametrize(
    "event",
    [
        BookDistrusted(instrument=ONE, reason="hash"),
        FeedLost(feed="venue", instrument=ONE, reason="silence"),
        FeedLost(feed="venue", instrument=None, reason="silence"),
        StrikeProven(instrument=ONE, strike_e8=1, provenance="tick"),
        TradePrinted(instrument=ONE, price=5_000, size=SHARE, aggressor=Side.BUY),
    ],
    ids=lambda event: type(event).__name__,
)
def test_event_of_the_instrument_is_received_and_evaluated(
    stage: Any, script: Any, event: Any
) -> None:
    stage.market(event, after_ms=100)
    assert event in script.received
    assert script.times()[-1] == stage.now


def test_reference_wakes_all_instruments_of_those_who_listen_to_it(
    make_stage: Make, make_bot: Make, make_script: Make
) -> None:
    listening, deaf = make_script(references=("binance:btcusdt",)), make_script()
    stage = make_stage(
        make_bot("listening", listening, series=frozenset({"a"})),
        make_bot("deaf", deaf, series=frozenset({"b"})),
    )
    stage.list(ONE, series="a")
    stage.list(TWO, series="a")
    stage.list(InstrumentId("venue:three"), series="b")
    stage.at(stage.now + 100 * MS)
    before = len(deaf.asked)
    price = ReferencePriced(key="binance:btcusdt", price_e8=1)
    stage.market(price)
    assert listening.times(ONE)[-1] == listening.times(TWO)[-1] == stage.now
    assert (len(deaf.asked), price in deaf.received) == (before, False)
    assert listening.asked[-1][2].references.get("binance:btcusdt").price_e8 == 1
    stage.market(ReferencePriced(key="other", price_e8=1))
    assert price is listening.received[-1]


def test_an_observation_wakes_those_who_declared_its_key(
    make_stage: Make, make_bot: Make, make_script: Make
) -> None:
    listening, deaf = make_script(observes=("signal:one",)), make_script()
    stage = make_stage(make_bot("listening", listening), make_bot("deaf", deaf))
    stage.list(ONE)
    stage.at(stage.now + 100 * MS)
    before = len(deaf.asked)
    said = Observed(key="signal:one", value="buy", at_ns=1, trust=1.0, source="a script")
    stage.market(said)
    assert listening.times(ONE)[-1] == stage.now
    assert (len(deaf.asked), said in deaf.received) == (before, False)
    assert listening.asked[-1][2].observed.last("signal:one").event == said
    stage.market(msgspec.structs.replace(said, key="signal:other"))
    assert listening.received[-1] == said


# -- one bot fails ---------------------------------------------------------------------------------


@pytest.fixture
def pair(make_stage: Make, make_bot: Make, make_script: Make, intent: Make) -> Any:
    """Two bots that quote an instrument each; everything they asked for rests."""
    bad = make_bot("bad", make_script(references=("key",)), instruments=frozenset({ONE}))
    good = make_bot("good", make_script(references=("key",)), instruments=frozenset({TWO}))
    stage = make_stage(bad, good)
    for bot in (bad, good):
        bot.strategy.say = lambda context, _: (intent(context, 4_700, 5_300),)
    stage.list(ONE)
    stage.list(TWO)
    stage.at(stage.now + 100 * MS)
    stage.accept(*stage.placed)
    stage.at(stage.now + 100 * MS)
    assert len(stage.placed) == 4
    return stage, bad, good


def _assert_bad_stopped_alone(stage: Any, bad: Bot, good: Bot, said: str = "KeyError") -> None:
    assert (bad.state, good.state) == (BotState.ERROR, BotState.RUNNING)
    assert said in bad.error
    alerts = [e for e in stage.effects if isinstance(e, RaiseAlert)]
    assert [(a.severity, a.kind, a.bot) for a in alerts] == [
        (Severity.CRITICAL, "bot_error", "bad")
    ]
    cancelled = [n for e in stage.effects if isinstance(e, CancelOrders) for n in e.orders]
    assert cancelled == [order.id for order in stage.placed if order.bot == "bad"]
    asked, received = len(bad.strategy.asked), len(bad.strategy.received)
    evaluated = len(good.strategy.asked)
    stage.book(ONE, after_ms=500)
    stage.book(TWO, after_ms=500)
    stage.market(ReferencePriced(key="key", price_e8=1), after_ms=500)
    stage.market(FeedLost(feed="venue", instrument=None, reason="silence"), after_ms=500)
    stage.list(ONE, tick=10)
    stage.at(stage.now + 3 * S)
    assert (len(bad.strategy.asked), len(bad.strategy.received)) == (asked, received)
    assert len(good.strategy.asked) > evaluated + 3
    assert len([e for e in stage.effects if isinstance(e, RaiseAlert)]) == 1


def test_strategy_that_raises_when_asked_stops_alone_and_its_orders_go(pair: Any) -> None:
    stage, bad, good = pair
    bad.strategy.raises["evaluate"] = KeyError("price")
    stage.change(4_600)
    _assert_bad_stopped_alone(stage, bad, good)


def test_strategy_that_raises_on_a_book_stops_alone_at_that_moment(pair: Any) -> None:
    stage, bad, good = pair
    bad.strategy.raises["receive"] = KeyError("price")
    event = BookChanged(instrument=ONE, changes=((Side.BUY, 4_600, SHARE),))
    assert stage.core.market(event, stage.now), "whoever drives must turn now"
    stage.turn()
    _assert_bad_stopped_alone(stage, bad, good)


def test_strategy_that_raises_on_a_reference_stops_alone(pair: Any) -> None:
    stage, bad, good = pair
    bad.strategy.raises["receive"] = KeyError("price")
    stage.market(ReferencePriced(key="key", price_e8=1))
    _assert_bad_stopped_alone(stage, bad, good)


class Leaving(BaseException):
    """What a plug-in may raise that is no `Exception`."""


@pytest.mark.parametrize("method", ["evaluate", "receive"])
@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), Leaving("out")])
def test_strategy_that_would_end_the_program_stops_alone(
    pair: Any, method: str, error: BaseException
) -> None:
    stage, bad, good = pair
    bad.strategy.raises[method] = error
    stage.change(4_600)
    _assert_bad_stopped_alone(stage, bad, good, type(error).__name__)


def test_strategy_that_would_end_the_program_when_it_forgets_stops_alone(pair: Any) -> None:
    stage, bad, good = pair
    bad.strategy.raises["forget"] = SystemExit(3)
    stage.market(InstrumentClosed(instrument=ONE))
    assert (bad.state, good.state) == (BotState.ERROR, BotState.RUNNING)
    stage.market(InstrumentClosed(instrument=TWO))
    assert good.strategy.forgotten == [TWO]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(KeyError("learned"), "KeyError"), (SystemExit(3), "SystemExit"), ("text", "must give bytes")],
)
def test_strategy_that_cannot_give_its_state_stops_alone_and_what_was_kept_stays(
    pair: Any, wrong: Any, said: str
) -> None:
    stage, bad, good = pair
    bad.strategy.state = lambda: b"learned"
    assert stage.core.kept_state(bad, stage.now) == b"learned"

    def fails() -> Any:
        if isinstance(wrong, BaseException):
            raise wrong
        return wrong

    bad.strategy.state = fails
    assert stage.core.kept_state(bad, stage.now) == b"learned"
    assert stage.core.kept_state(good, stage.now) == good.strategy.state()
    assert stage.core.kept_state(bad, stage.now) == b"learned", "it is not asked again"
    stage.turn()
    _assert_bad_stopped_alone(stage, bad, good, said)


def test_person_at_the_keyboard_ends_a_replay_whatever_runs(pair: Any) -> None:
    stage, bad, _ = pair
    bad.strategy.raises["evaluate"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        stage.change(4_600)


def test_strategy_that_raises_on_its_fill_stops_alone_and_the_fill_is_booked(pair: Any) -> None:
    stage, bad, good = pair
    bad.strategy.raises["filled"] = KeyError("price")
    bid, ask = (order for order in stage.placed if order.bot == "bad")
    stage.fill(bid, 10)
    assert stage.executor.ledger.holding(ONE).yes_settled == 10 * SHARE
    assert bad.state is BotState.ERROR
    stage.placed.remove(bid)
    cancelled = [n for e in stage.effects if isinstance(e, CancelOrders) for n in e.orders]
    assert cancelled == [ask.id]
    assert good.state is BotState.RUNNING


# -- what reaches the executor ---------------------------------------------------------------------


def test_mark_of_the_book_precedes_every_intent(stage: Any, script: Any, intent: Make) -> None:
    script.say = lambda context, _: (intent(context, 4_700),)
    for bid in (4_750, 4_800, 4_850):
        stage.book(bid=bid, after_ms=100)
    inputs = stage.inputs
    intents = [at for at, message in enumerate(inputs) if isinstance(message, Quotes)]
    assert len(intents) >= 3
    for at in intents:
        mark = inputs[at - 1]
        assert isinstance(mark, BookMarked)
        assert (mark.instrument, mark.proof_ns) == (ONE, inputs[at - 1].two_sided_ns)
    assert inputs[intents[-1] - 1].best_bid == 4_850


def test_every_target_of_a_basket_is_marked_before_it(
    make_stage: Make, make_bot: Make, make_script: Make
) -> None:
    script = make_script(timer_ns=3_600 * S)
    stage = make_stage(make_bot(strategy=script))
    stage.list(ONE)
    stage.list(TWO, market="other")

    def both(context: Any, now_ns: int) -> tuple[Basket, ...]:
        targets = tuple(
            Target(
                bot=context.bot, instrument=name, position=10 * SHARE, limit_price=4_700,
                valid_until_ns=now_ns + S,
            )
            for name in (ONE, TWO)
        )  # fmt: skip
        return (Basket(bot=context.bot, targets=targets, valid_until_ns=now_ns + S),)

    script.say = both
    before = len(stage.inputs)
    stage.book(ONE, bid=4_790, after_ms=100)
    kinds = [getattr(message, "instrument", "basket") for message in stage.inputs[before:]]
    assert set(kinds[: kinds.index("basket")]) == {ONE, TWO}
    assert sorted(order.instrument for order in stage.placed) == [ONE, TWO]


def test_of_two_intents_in_one_turn_only_the_last_is_worked(
    stage: Any, script: Any, intent: Make
) -> None:
    script.say = lambda context, _: (intent(context, 4_500), intent(context, 4_600))
    stage.change(4_700, after_ms=100)
    assert [order.price for order in stage.placed] == [4_600]


def test_later_intent_replaces_the_earlier_one_after_the_proof_of_its_end(
    stage: Any, script: Any, intent: Make
) -> None:
    script.say = lambda context, _: (intent(context, 4_500),)
    stage.change(4_700, after_ms=100)
    (first,) = stage.placed
    stage.accept(first)
    for bid in (4_400, 4_300, 4_200):
        script.say = lambda context, _, bid=bid: (intent(context, bid),)
        stage.change(4_700, after_ms=100)
    assert stage.placed == [first], "nothing is quoted twice while the first may still fill"
    stage.venue(OrderCancelled(account=first.account, order=first.id))
    assert [order.price for order in stage.placed] == [4_500, 4_200]


def test_without_a_new_intent_the_last_one_stands(stage: Any, script: Any, intent: Make) -> None:
    script.say = lambda context, _: (intent(context, 4_500),)
    stage.change(4_700, after_ms=100)
    stage.accept(*stage.placed)
    script.say = lambda *_: ()
    stage.at(stage.now + 5 * S)
    assert stage.executor.record(1).state is OrderState.OPEN
    assert len(stage.placed) == 1


def test_every_second_what_matters_is_marked_and_the_executor_looks_at_the_clock(
    stage: Any, script: Any, intent: Make
) -> None:
    stage.list(TWO)
    script.say = lambda context, _: (
        (intent(context, 4_500),) if context.view.instrument.id == ONE else ()
    )
    stage.change(4_700, after_ms=100)
    script.say = lambda *_: ()
    stage.at(stage.now // S * S + S - 1)
    before = len(stage.inputs)
    stage.at(stage.now + 1)
    inputs = stage.inputs[before:]
    assert [m.instrument for m in inputs if isinstance(m, BookMarked)] == [ONE]
    assert TimerFired(name="second") in inputs


def test_book_that_is_torn_reaches_the_executor_before_the_next_second(
    stage: Any, script: Any, intent: Make
) -> None:
    script.say = lambda context, _: (intent(context, 4_500),)
    stage.change(4_700, after_ms=100)
    stage.accept(*stage.placed)
    script.say = lambda *_: ()
    asked = stage.market(BookDistrusted(instrument=ONE, reason="hash"), after_ms=10)
    assert [e.orders for e in asked if isinstance(e, CancelOrders)] == [(1,)]


def test_restored_feed_is_told_to_the_executor(stage: Any) -> None:
    event = FeedRestored(feed="venue", instrument=ONE)
    stage.market(event)
    assert event in stage.inputs


# -- closing ---------------------------------------------------------------------------------------


def test_close_withdraws_the_intent_and_cancels_what_rests(
    stage: Any, script: Any, intent: Make
) -> None:
    script.say = lambda context, _: (intent(context, 4_500, 5_500),)
    stage.change(4_700, after_ms=100)
    orders = stage.placed
    stage.accept(*orders)
    asked = stage.market(InstrumentClosed(instrument=ONE))
    assert [e.orders for e in asked if isinstance(e, CancelOrders)] == [(1, 2)]
    for order in orders:
        stage.venue(OrderCancelled(account=order.account, order=order.id))
    stage.at(stage.now + 60 * S)
    assert stage.executor.planning.residuals[ResidualReason.MARKET_CLOSED] == 0
    assert stage.executor.concerned() == []


@pytest.mark.parametrize(
    "over",
    [
        InstrumentClosed(instrument=ONE),
        InstrumentResolved(instrument=ONE, payout_yes_micro=0, source="its close was not received"),
    ],
    ids=lambda over: type(over).__name__,
)
def test_close_drops_the_cell_and_what_the_strategy_remembers(
    make_stage: Make, make_bot: Make, make_script: Make, over: Any
) -> None:
    script = make_script()
    bot = make_bot(strategy=script, instruments_max=1)
    stage = make_stage(bot)
    stage.list(ONE)
    stage.market(over)
    asked = len(script.asked)
    stage.book(ONE, after_ms=100)
    stage.at(stage.now + 3 * S)
    assert script.forgotten == [ONE]
    assert len(script.asked) == asked
    stage.list(TWO)
    assert list(bot.cells) == [TWO]


def test_closed_instrument_listed_with_new_terms_is_not_watched_again(
    make_stage: Make, make_bot: Make, make_script: Make
) -> None:
    script = make_script()
    bot = make_bot(strategy=script)
    stage = make_stage(bot)
    stage.list(ONE)
    stage.market(InstrumentClosed(instrument=ONE))
    asked = len(script.asked)
    stage.list(ONE, tick=10)
    stage.at(stage.now + 3 * S)
    assert (bot.cells, len(script.asked)) == ({}, asked)


def test_new_terms_reach_the_strategy_of_the_same_cell(stage: Any, script: Any) -> None:
    cell = stage.core.bots[0].cells[ONE]
    stage.list(ONE, tick=10)
    assert stage.core.bots[0].cells[ONE] is cell
    assert script.received[-2].instrument.tick == 10
    stage.at(stage.now + 50 * MS)
    assert script.asked[-1][2].view.instrument.tick == 10


# -- what strategies see ---------------------------------------------------------------------------


def test_fill_reaches_the_bot_that_placed_the_order_and_wakes_it(pair: Any) -> None:
    stage, bad, good = pair
    order = next(order for order in stage.placed if order.bot == "good")
    stage.fill(order, 5)
    assert [fill.order for fill in good.strategy.fills] == [order.id]
    assert good.strategy.times(TWO)[-1] == stage.now
    assert good.strategy.asked[-1][2].inventory.position == 5 * SHARE
    assert not bad.strategy.fills


def test_tokens_of_no_are_a_short_position_in_yes_space(
    stage: Any, script: Any, intent: Make
) -> None:
    script.say = lambda context, _: (intent(context, ask=5_300, shares=20),)
    stage.change(4_700, after_ms=100)
    (order,) = stage.placed
    assert (order.leg, order.side, order.price) == (Leg.NO, Side.BUY, 4_700)
    stage.accept(order)
    stage.fill(order, 8, FillState.MATCHED)
    view = inventory_of(stage.core.executor, stage.core.cache.views[ONE].instrument, order.bot)
    assert (view.position, view.no_pending, view.no_settled) == (-8 * SHARE, 8 * SHARE, 0)
    assert view.average_price == 5_300
    # 20 are wanted whatever is held: 12 still rest, 8 were placed anew.
    assert (view.working_bid, view.working_ask) == (0, 20 * SHARE)
    # 8 shares of NO are paid, 20 are reserved, at 0.47 each.
    assert view.cash_free_micro == 1_000 * 1_000_000 - 28 * 470_000
    stage.at(stage.now + 50 * MS)
    assert script.asked[-1][2].inventory == view


def test_strategy_is_told_when_nothing_may_be_placed(stage: Any, script: Any) -> None:
    assert script.asked[-1][2].healthy
    stage.executor.stop_all("a test", stage.now)
    stage.change(4_700, after_ms=100)
    assert not script.asked[-1][2].healthy


def test_desk_without_bots_asks_for_nothing(make_stage: Make) -> None:
    stage = make_stage()
    stage.list()
    stage.at(stage.now + 5 * S)
    assert not [e for e in stage.effects if isinstance(e, PlaceOrder)]
    assert stage.decisions == []


def test_a_bot_never_risks_more_than_its_capital(
    make_stage: Make, make_bot: Make, script: Any
) -> None:
    stage = make_stage(make_bot(strategy=script, capital_micro=24_000_000))
    script.say = lambda context, now_ns: (
        Quotes(
            bot=context.bot,
            instrument=context.view.instrument.id,
            bids=((4_800, 100 * SHARE),),
            valid_until_ns=now_ns + S,
        ),
    )
    stage.list()
    stage.at(stage.now + 200 * MS)
    assert [order.size for order in stage.placed] == [50 * SHARE]
