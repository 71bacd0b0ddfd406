from __future__ import annotations

import pytest

from engine.errors import AuthRefused
from engine.venues.polymarket.account.heartbeat_chain import HeartbeatChain


def test_first_beat_carries_nothing_and_each_answer_names_the_next() -> None:
    chain = HeartbeatChain()
    assert chain.next_id == ""
    chain.answered("one")
    assert chain.next_id == "one"


def test_refusal_after_a_start_is_natural() -> None:
    chain = HeartbeatChain()
    chain.refused("of the last run")
    assert chain.next_id == "of the last run"
    chain.answered("next")


def test_refusal_after_a_lost_answer_is_natural() -> None:
    chain = HeartbeatChain()
    chain.answered("one")
    for number in range(10):
        chain.lost()
        chain.refused(str(number))
        chain.answered(f"after {number}")


def test_second_refusal_nothing_explains_is_a_second_writer() -> None:
    chain = HeartbeatChain()
    chain.answered("one")
    chain.refused("theirs")
    chain.answered("two")
    with pytest.raises(AuthRefused, match="another program"):
        chain.refused("theirs again")


def test_correction_that_is_refused_too_is_a_second_writer() -> None:
    chain = HeartbeatChain()
    chain.answered("one")
    chain.refused("theirs")
    with pytest.raises(AuthRefused):
        chain.refused("theirs a moment later")
