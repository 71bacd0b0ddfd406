"""The exchange as bytes."""

from __future__ import annotations

import pytest

from engine.errors import BadInput
from engine.venues.demo.orders import StandingOrder
from engine.venues.demo.snapshot import freeze, thaw
from tests.venues.demo.builders import (
    ANN,
    BOB,
    COIN,
    buy_no,
    buy_yes,
    exchange,
    put,
    run,
    sound,
)


def test_a_thawed_exchange_is_the_same_in_every_byte() -> None:
    made = exchange(taker_delay_ns=250_000_000)
    put(made, BOB, buy_no("b", 40, 10))
    put(made, BOB, buy_no("c", 40, 10))
    put(made, ANN, buy_yes("a", 60, 15))
    run(made, 0.3)
    put(made, ANN, buy_yes("d", 60, 5))
    made.beat(ANN, "one", "", made.now_ns)
    state = freeze(made)
    other = exchange()
    thaw(other, state)
    assert freeze(other) == state
    for either in (made, other):
        run(either, 20)
        assert (
            either.submit(ANN, buy_yes("a", 60, 15), either.now_ns).standing
            is StandingOrder.REJECTED
        )
        sound(either)
    assert freeze(other) == freeze(made)
    assert [fill.state for fill in other.fills(ANN, 0)] == [
        fill.state for fill in made.fills(ANN, 0)
    ]
    assert other.take(ANN) == made.take(ANN)
    assert other.take_public() == made.take_public()


def test_turns_survive() -> None:
    made = exchange()
    put(made, ANN, buy_yes("a", 50, 10))
    put(made, BOB, buy_yes("b", 50, 10))
    other = exchange()
    thaw(other, freeze(made))
    book = other.desk.markets[COIN].book
    assert [order.identity for order in book.resting()] == ["a", "b"]
    assert book.resting()[0] is other.open_orders(ANN)[0]


def test_foreign_bytes_are_refused_and_change_nothing() -> None:
    made = exchange()
    before = freeze(made)
    with pytest.raises(BadInput):
        thaw(made, b"\x00")
    stranger = exchange()

    class Actor:
        name = "actor"

        def wake(self, topic: int, now_ns: int) -> None:
            del topic, now_ns

        def state(self) -> bytes:
            return b""

        def restore(self, state: bytes) -> None:
            del state

    stranger.join(Actor())
    with pytest.raises(BadInput, match="another world"):
        thaw(made, freeze(stranger))
    assert freeze(made) == before
