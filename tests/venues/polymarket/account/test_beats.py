from __future__ import annotations

import pytest

from engine.errors import AuthRefused
from engine.venues.polymarket.account.beats import Beats


def test_first_beat_carries_nothing_and_each_answer_names_the_next() -> None:
    beats = Beats()
    assert beats.next_id == ""
    beats.answered("one")
    assert beats.next_id == "one"


def test_refusal_after_a_start_is_natural() -> None:
    beats = Beats()
    beats.refused("of the last run")
    assert beats.next_id == "of the last run"
    beats.answered("next")


def test_refusal_after_a_lost_answer_is_natural() -> None:
    beats = Beats()
    beats.answered("one")
    for number in range(10):
        beats.lost()
        beats.refused(str(number))
        beats.answered(f"after {number}")


def test_second_refusal_nothing_explains_is_a_second_writer() -> None:
    beats = Beats()
    beats.answered("one")
    beats.refused("theirs")
    beats.answered("two")
    with pytest.raises(AuthRefused, match="another program"):
        beats.refused("theirs again")


def test_correction_that_is_refused_too_is_a_second_writer() -> None:
    beats = Beats()
    beats.answered("one")
    beats.refused("theirs")
    with pytest.raises(AuthRefused):
        beats.refused("theirs a moment later")
