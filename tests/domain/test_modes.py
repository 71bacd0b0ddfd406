from __future__ import annotations

import pytest

from engine.domain.events import ModeChanged, VenueMode
from engine.domain.instruments import AccountId
from engine.domain.modes import BELIEVED_NS, BELIEVED_NS_MAX, BELIEVED_NS_MIN, ModeBelief, S

NOW = 10**18
M = VenueMode


def moved(mode: VenueMode, retry_after_ns: int = 0) -> ModeChanged:
    return ModeChanged(account=AccountId("demo"), mode=mode, retry_after_ns=retry_after_ns)


@pytest.mark.parametrize("mode", [M.RESTARTING, M.DISABLED, M.CANCEL_ONLY])
def test_a_closure_nobody_repeats_takes_post_only_first_and_then_everything(mode: M) -> None:
    belief = ModeBelief()
    belief.take(moved(mode), NOW)
    assert not belief.age(NOW + BELIEVED_NS - 1)
    assert belief.mode is mode
    assert belief.age(NOW + BELIEVED_NS)
    assert belief.mode is M.POST_ONLY
    assert not belief.age(NOW + 2 * BELIEVED_NS - 1)
    assert belief.age(NOW + 2 * BELIEVED_NS)
    assert belief.mode is M.OPEN
    assert not belief.age(NOW + 900 * S)


def test_an_account_that_looks_late_finds_where_belief_has_come_to() -> None:
    belief = ModeBelief()
    belief.take(moved(M.DISABLED), NOW)
    assert belief.age(NOW + 3 * BELIEVED_NS)
    assert belief.mode is M.OPEN


def test_receiving_it_again_begins_the_time_anew() -> None:
    belief = ModeBelief()
    belief.take(moved(M.POST_ONLY), NOW)
    belief.take(moved(M.POST_ONLY), NOW + 20 * S)
    assert not belief.age(NOW + BELIEVED_NS)
    assert belief.age(NOW + 20 * S + BELIEVED_NS)


@pytest.mark.parametrize(
    ("hint_ns", "believed_ns"),
    [(1 * S, BELIEVED_NS_MIN), (79 * S, 79 * S), (86_400 * S, BELIEVED_NS_MAX)],
)
def test_the_venues_own_hint_counts_within_bounds(hint_ns: int, believed_ns: int) -> None:
    belief = ModeBelief()
    belief.take(moved(M.CANCEL_ONLY, hint_ns), NOW)
    assert not belief.age(NOW + believed_ns - 1)
    assert belief.age(NOW + believed_ns)


def test_an_open_venue_does_not_age() -> None:
    belief = ModeBelief()
    belief.take(moved(M.CANCEL_ONLY), NOW)
    belief.take(moved(M.OPEN), NOW + S)
    assert not belief.age(NOW + 900 * S)
    assert belief.mode is M.OPEN
