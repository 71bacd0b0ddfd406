"""The table of a bot's moves: reachability, and ends."""

from __future__ import annotations

import pytest

from engine.domain.bots import TRANSITIONS, BotHappened, BotState


def reach(start: BotState) -> set[BotState]:
    seen, ahead = {start}, [start]
    while ahead:
        here = ahead.pop()
        for (state, _), after in TRANSITIONS.items():
            if state is here and after not in seen:
                seen.add(after)
                ahead.append(after)
    return seen


def test_every_state_is_reachable() -> None:
    assert reach(BotState.IDLE) == set(BotState)


@pytest.mark.parametrize("state", list(BotState))
def test_every_state_can_be_stopped(state: BotState) -> None:
    assert BotState.STOPPED in reach(state)


@pytest.mark.parametrize("state", [state for state in BotState if state is not BotState.STOPPED])
def test_stop_is_never_refused_before_it_is_done(state: BotState) -> None:
    assert (state, BotHappened.STOP_ASKED) in TRANSITIONS
