from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain.order_life import FINDINGS, MOVES, QUIET, TRANSITIONS, Happened
from engine.domain.orders import ORDER_ENDS, OrderState
from engine.errors import InvalidTransition
from engine.executor.orders import OrderTable

S = OrderState
H = Happened


MISSING = [pair for pair in product(OrderState, Happened) if pair not in MOVES]


@pytest.mark.parametrize(("state", "happened"), MISSING)
def test_what_the_table_does_not_have_raises(state: OrderState, happened: Happened) -> None:
    known: Any = SimpleNamespace(state=state, journaled=state, order=SimpleNamespace(id=1))
    nothing: Any = None  # it is refused before anything of the account is looked at
    with pytest.raises(InvalidTransition, match=f"{state}, cannot have {happened}"):
        OrderTable.happen(nothing, known, happened, 0)


def _reachable(start: OrderState) -> set[OrderState]:
    seen = {start}
    while True:
        more = {after for (state, _), after in TRANSITIONS.items() if state in seen} - seen
        if not more:
            return seen
        seen |= more


def test_every_state_is_reachable_from_pending() -> None:
    assert _reachable(S.PENDING) == set(OrderState)


@pytest.mark.parametrize("state", [state for state in OrderState if state not in ORDER_ENDS])
def test_every_live_state_can_reach_every_proof_of_an_end(state: OrderState) -> None:
    assert ORDER_ENDS & _reachable(state)


@pytest.mark.parametrize("happened", list(Happened))
def test_every_happening_is_used(happened: Happened) -> None:
    assert any(key[1] is happened for key in TRANSITIONS)


def test_unknown_is_left_by_findings_and_whole_fills_only() -> None:
    leaving = {h for (s, h), after in TRANSITIONS.items() if s is S.UNKNOWN and after is not s}

    assert leaving == {H.FOUND_OPEN, H.FOUND_GONE, H.FILLED_ALL}


def test_silence_after_sending_is_unknown() -> None:
    assert TRANSITIONS[S.SENT, H.NO_ANSWER] is S.UNKNOWN


def test_a_cancel_that_was_only_asked_ends_nothing() -> None:
    for state in OrderState:
        if state not in ORDER_ENDS and (state, H.CANCEL_ASKED) in TRANSITIONS:
            assert TRANSITIONS[state, H.CANCEL_ASKED] not in ORDER_ENDS


def test_a_refused_or_unanswered_cancel_ends_nothing() -> None:
    for happened in (H.CANCEL_REFUSED, H.CANCEL_UNANSWERED):
        for state in OrderState:
            if state not in ORDER_ENDS and (state, happened) in TRANSITIONS:
                assert TRANSITIONS[state, happened] not in ORDER_ENDS


def test_an_end_is_left_only_for_another_end_or_for_unknown() -> None:
    for (state, _), after in TRANSITIONS.items():
        if state in ORDER_ENDS:
            assert after in ORDER_ENDS or after is S.UNKNOWN


def test_nothing_can_be_filled_before_it_was_sent() -> None:
    assert not {(S.PENDING, H.FILLED_PART), (S.PENDING, H.ACCEPTED)} & TRANSITIONS.keys()


SAID = (
    H.ACCEPTED, H.DELAYED, H.REJECTED, H.NOT_SENT, H.NO_ANSWER, H.FILLED_PART, H.FILLED_ALL,
    H.CANCEL_REFUSED, H.CANCEL_UNANSWERED, H.CANCELLED, H.EXPIRED, H.FOUND_GONE,
)  # fmt: skip


@pytest.mark.parametrize("state", [state for state in OrderState if state is not S.PENDING])
def test_whatever_is_said_of_an_order_that_has_left_is_a_move(state: OrderState) -> None:
    """It is in the journal before it is taken: what raised once would raise at every start."""
    assert [said for said in SAID if (state, said) not in MOVES] == []


def test_every_state_but_pending_can_book_a_fill() -> None:
    for state in OrderState:
        if state is not S.PENDING:
            assert (state, H.FILLED_PART) in TRANSITIONS
            assert TRANSITIONS[state, H.FILLED_ALL] is S.FILLED


def test_a_finding_is_a_move_out_of_unknown() -> None:
    for finding in FINDINGS.values():
        assert TRANSITIONS[S.UNKNOWN, finding] is not S.UNKNOWN


def test_a_quiet_move_changes_nothing_but_the_state_and_the_note_of_a_cancel() -> None:
    for (before, _), (after, meaning) in MOVES.items():
        if meaning == QUIET:
            assert S.UNKNOWN not in {before, after}
            assert before not in ORDER_ENDS
            assert after not in ORDER_ENDS
