"""Modes and heartbeats."""

from __future__ import annotations

import pytest

from engine.domain.events import VenueMode
from engine.domain.orders import CancelReason, Identity
from engine.errors import AuthRefused, ConfigError, VenueClosed
from engine.venues.demo.accounts import Rules
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import Ended, ModeSwitched, StandingOrder
from tests.venues.demo.builders import ANN, BOB, S, buy_yes, exchange, put, run, sound


def test_restarting_takes_nothing_and_answers_nothing() -> None:
    made = exchange()
    put(made, ANN, buy_yes("a", 50, 5))
    made.guard.switch(VenueMode.RESTARTING)
    for ask in (
        lambda: made.submit(ANN, buy_yes("b", 50, 5), made.now_ns),
        lambda: made.cancel(ANN, Identity("a"), made.now_ns),
        lambda: made.cancel_all(ANN, made.now_ns),
        lambda: made.open_orders(ANN),
        lambda: made.order(ANN, Identity("a")),
        lambda: made.fills(ANN, 0),
    ):
        with pytest.raises(VenueClosed) as closed:
            ask()
        assert closed.value.mode == VenueMode.RESTARTING
    made.guard.switch(VenueMode.OPEN)
    assert len(made.open_orders(ANN)) == 1


def test_post_only_mode_takes_quotes_and_cancels() -> None:
    made = exchange()
    made.guard.switch(VenueMode.POST_ONLY)
    with pytest.raises(VenueClosed, match=r"^post-only mode: only post-only orders and cancels"):
        made.submit(ANN, buy_yes("a", 50, 5), made.now_ns)
    assert put(made, ANN, buy_yes("a", 50, 5, post_only=True)).standing is StandingOrder.LIVE
    assert made.cancel(ANN, Identity("a"), made.now_ns).cancelled


def test_cancel_only_mode_takes_cancels() -> None:
    made = exchange()
    put(made, ANN, buy_yes("a", 50, 5))
    made.guard.switch(VenueMode.CANCEL_ONLY)
    with pytest.raises(VenueClosed, match=r"^Trading is currently cancel-only"):
        made.submit(ANN, buy_yes("b", 50, 5, post_only=True), made.now_ns)
    assert made.cancel(ANN, Identity("a"), made.now_ns).cancelled


def test_disabled_mode_takes_nothing_but_answers() -> None:
    made = exchange()
    put(made, ANN, buy_yes("a", 50, 5))
    made.guard.switch(VenueMode.DISABLED)
    with pytest.raises(VenueClosed, match=r"^Trading is currently disabled"):
        made.cancel(ANN, Identity("a"), made.now_ns)
    assert len(made.open_orders(ANN)) == 1


def test_a_planned_restart_runs_through_its_modes_and_may_lose_orders() -> None:
    made = exchange()
    put(made, ANN, buy_yes("a", 50, 5))
    made.take(ANN)
    made.guard.plan_restart(made.now_ns + S, down_ns=2 * S, post_only_ns=3 * S, drop_orders=True)
    run(made, 10)
    received = [(at_ns - made.now_ns + 10 * S, report) for at_ns, report in made.take(ANN)]
    assert [(at_ns // S, type(report)) for at_ns, report in received] == [
        (1, Ended),
        (1, ModeSwitched),
        (3, ModeSwitched),
        (6, ModeSwitched),
    ]
    assert received[0][1].reason is CancelReason.VENUE
    assert made.guard.mode is VenueMode.OPEN
    assert made.wallet(ANN).reserved == 0
    sound(made)


def armed(made: DemoExchange, key: str) -> str:
    answer = made.heartbeat(ANN, key, "", made.now_ns)
    assert answer.valid
    return answer.token


def test_a_silent_key_loses_its_orders_within_fifteen_seconds() -> None:
    made = exchange()
    token = armed(made, "one")
    put(made, ANN, buy_yes("a", 50, 5, key="one"))
    put(made, ANN, buy_yes("b", 50, 5, key="two"))
    put(made, BOB, buy_yes("c", 50, 5, key="one"))
    for _ in range(6):
        run(made, 5)
        answer = made.heartbeat(ANN, "one", token, made.now_ns)
        assert answer.valid
        token = answer.token
    assert len(made.open_orders(ANN)) == 2
    run(made, 10)
    assert len(made.open_orders(ANN)) == 2
    run(made, 5)
    assert [order.identity for order in made.open_orders(ANN)] == ["b"]
    assert len(made.open_orders(BOB)) == 1
    ended = made.take(ANN)[-1][1]
    assert ended == Ended(
        identity=Identity("a"), key="one", reason=CancelReason.HEARTBEAT, filled=0
    )


def test_orders_of_a_silent_key_are_cancelled_again_at_each_check() -> None:
    made = exchange()
    armed(made, "one")
    run(made, 30)
    put(made, ANN, buy_yes("a", 50, 5, key="one"))
    run(made, 5)
    assert made.open_orders(ANN) == []


def test_a_wrong_token_is_told_the_right_one_and_does_not_count() -> None:
    made = exchange()
    token = armed(made, "one")
    for wrong in ("", "other"):
        answer = made.heartbeat(ANN, "one", wrong, made.now_ns)
        assert (answer.valid, answer.token) == (False, token)
    fresh = made.heartbeat(ANN, "two", "never-armed", made.now_ns)
    assert (fresh.valid, fresh.token) == (False, "")
    with pytest.raises(AuthRefused):
        made.heartbeat(type(ANN)("nobody"), "one", "", made.now_ns)


def test_times_that_make_no_sense_are_refused() -> None:
    for rules in (Rules(beat_check_ns=0), Rules(gtd_min_ns=1, gtd_early_ns=2)):
        with pytest.raises(ConfigError):
            exchange(rules=rules)
