from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.lab.simulate.crashes import APART_NS, UNPROVEN, alerted, judge_crash
from engine.lab.simulate.disk import state_file
from engine.lab.simulate.faults import (
    MISTAKES_AT,
    MISTAKES_EVERY,
    PER_MINUTE,
    Fault,
    Faults,
    faults_named,
)

ENDED_NS = 10**18


def side(*placed_ns: int) -> Any:
    """Return an account's side of the exchange with an order of each time at rest."""
    rest = [SimpleNamespace(identity=f"id{one}", placed_ns=one) for one in placed_ns]
    return SimpleNamespace(account="demo-0", live=lambda: rest)


@pytest.mark.parametrize(
    ("placed_ns", "said", "spoken"),
    [
        ((), "", False),
        ((ENDED_NS,), "", True),
        ((ENDED_NS + APART_NS,), "", True),
        ((ENDED_NS + APART_NS + 1,), "", False),  # on its way for longer than any listing tells
        ((ENDED_NS,), "orders of ours may be open: demo-0: its venue does not answer", False),
        ((ENDED_NS,), "orders of ours may be open: demo-01: its venue does not answer", True),
    ],
)
def test_what_rests_behind_an_end_by_a_fault_is_said(
    placed_ns: tuple[int, ...], said: str, spoken: bool
) -> None:
    found: list[str] = []
    judge_crash([side(*placed_ns)], said, ENDED_NS, lambda *text: found.append(text[1]))
    assert bool(found) is spoken


def test_what_an_engine_said_before_its_end_is_of_no_account() -> None:
    state = state_file()
    for at_ns, text in ((ENDED_NS - 1, "of a stop before"), (ENDED_NS, "of this end")):
        state.execute(
            "INSERT INTO alerts (engine_id, kind, severity, account, bot, instrument, mode, text, "
            "first_ns, last_ns, count) VALUES ('desk', ?, 'critical', '', '', '', '', ?, ?, ?, 1)",
            (UNPROVEN, text, at_ns, at_ns),
        )
    assert alerted(state, ENDED_NS) == "of this end"


def test_every_world_of_mistakes_has_them() -> None:
    assert MISTAKES_AT < MISTAKES_EVERY
    for mistakes in (True, False):
        drawn = Faults(SimpleNamespace(random=lambda: 0.99, choice=lambda of: of[0]),
                       mistakes=mistakes)  # fmt: skip
        assert bool(drawn.rate(Fault.ENGINE_MISTAKE)) is mistakes
    assert PER_MINUTE[Fault.ENGINE_MISTAKE]
    assert faults_named("engine_mistake") == (Fault.ENGINE_MISTAKE,)
