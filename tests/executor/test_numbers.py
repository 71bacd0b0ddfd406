"""Numbers of orders: what was made here, apart from the floor of what is to come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.domain.orders import OrderId
from engine.executor import numbers
from engine.executor.numbers import OrderNumbers

STEPS = st.lists(
    st.tuples(st.sampled_from(["next", "floor", "adopt", "answer"]), st.integers(1, 60))
)


@given(STEPS)
def test_what_was_made_here_is_told_from_what_the_floor_passed_over(
    steps: list[tuple[str, int]],
) -> None:
    made, known, floor = OrderNumbers(), set[int](), 0
    for step, number in steps:
        if step == "next":
            made.make(OrderId(made.floor + 1))
            floor += 1
            known.add(floor)
        elif step == "floor":
            made.raise_floor(number)
            floor = max(floor, number)
        elif step == "adopt" and number <= floor:
            made.make(OrderId(number))
            known.add(number)
        elif step == "answer":
            made.answer_for(number)
            known.add(number)
            floor = max(floor, number)
    assert made.floor == floor
    assert {number for number in range(1, 200) if made.has(number)} == known
    assert made.last == max(known, default=0)
    assert made.made == sorted(made.made)


def test_a_plan_that_was_taken_back_leaves_no_gap_when_the_journal_is_read_again() -> None:
    made = OrderNumbers()
    for number in (1, 2, 5):  # 3 and 4 were undone and stand in no journal
        made.make(OrderId(number))
    assert made.made == [(1, 5)]


def test_ranges_are_bounded_and_the_oldest_become_one() -> None:
    made = OrderNumbers()
    for number in range(1, 2 * numbers.RANGES_MAX + 10):
        made.raise_floor(3 * number)
        made.make(OrderId(made.floor + 1))
    assert len(made.made) == numbers.RANGES_MAX
    assert made.has(made.last)
    assert not made.has(made.last - 1)
