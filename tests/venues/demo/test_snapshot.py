"""The exchange as bytes."""

from __future__ import annotations

import pytest

from engine.errors import BadInput
from engine.venues.demo.orders import StandingOrder
from engine.venues.demo.snapshot import encode_state, restore_state
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


def test_a_restored_exchange_is_the_same_in_every_byte() -> None:
    made = exchange(taker_delay_ns=250_000_000)
    put(made, BOB, buy_no("b", 40, 10))
    put(made, BOB, buy_no("c", 40, 10))
    put(made, ANN, buy_yes("a", 60, 15))
    run(made, 0.3)
    put(made, ANN, buy_yes("d", 60, 5))
    made.heartbeat(ANN, "one", "", made.now_ns)
    state = encode_state(made)
    other = exchange()
    restore_state(other, state)
    assert encode_state(other) == state
    for either in (made, other):
        run(either, 20)
        assert (
            either.submit(ANN, buy_yes("a", 60, 15), either.now_ns).standing
            is StandingOrder.REJECTED
        )
        sound(either)
    assert encode_state(other) == encode_state(made)
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
    restore_state(other, encode_state(made))
    book = other.order_entry.markets[COIN].book
    assert [order.identity for order in book.resting()] == ["a", "b"]
    assert book.resting()[0] is other.open_orders(ANN)[0]


def test_foreign_bytes_are_refused_and_change_nothing() -> None:
    made = exchange()
    before = encode_state(made)
    with pytest.raises(BadInput):
        restore_state(made, b"\x00")
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
        restore_state(made, encode_state(stranger))
    assert encode_state(made) == before
