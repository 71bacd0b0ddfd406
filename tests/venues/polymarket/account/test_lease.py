"""When a beat may be sent and when quoting must stop: always before the venue cancels by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.venues.polymarket.account.heartbeat import (
    HEARTBEAT_EVERY_NS,
    LAPSES_NS,
    QUOTES_STOP_NS,
    RETRY_NS,
    HealthLease,
    S,
)


def test_nothing_is_quoted_before_the_venue_took_a_beat() -> None:
    lease = HealthLease()
    assert not lease.due(0)
    lease.look("")
    assert lease.due(0)
    assert "no heartbeat yet" in lease.forbids(0)
    assert lease.cancels_ns is None
    lease.renew(0)
    assert lease.forbids(0) == ""
    assert (lease.armed_ns, lease.cancels_ns) == (0, 15 * S)


def test_beats_follow_one_another_and_a_missed_one_is_repeated_soon() -> None:
    lease = HealthLease()
    lease.look("")
    lease.renew(0)
    assert not lease.due(HEARTBEAT_EVERY_NS - 1)
    assert lease.due(HEARTBEAT_EVERY_NS)
    lease.missed(HEARTBEAT_EVERY_NS)
    assert not lease.due(HEARTBEAT_EVERY_NS)
    assert lease.due(HEARTBEAT_EVERY_NS + RETRY_NS)
    assert lease.forbids(HEARTBEAT_EVERY_NS + RETRY_NS) == ""


def test_what_is_not_proven_stops_quoting_at_once_and_no_beat_leaves() -> None:
    lease = HealthLease()
    lease.look("")
    lease.renew(0)
    lease.look("the user channel is down")
    assert "the user channel is down" in lease.forbids(1)
    assert not lease.due(100 * S)
    lease.look("")
    assert lease.due(100 * S)
    assert lease.forbids(100 * S)
    lease.renew(100 * S)
    assert (lease.forbids(100 * S), lease.armed_ns) == ("", 0)


def test_lease_that_ended_is_not_taken_up_again() -> None:
    lease = HealthLease()
    lease.look("")
    lease.renew(0)
    lease.end("another program beats")
    assert not lease.due(100 * S)
    assert lease.forbids(1) == "another program beats"


@given(st.lists(st.tuples(st.integers(0, 4 * S), st.booleans(), st.booleans()), max_size=60))
def test_quoting_has_stopped_whenever_the_venue_may_cancel(
    steps: list[tuple[int, bool, bool]],
) -> None:
    lease, now_ns, took_ns = HealthLease(), 0, None
    for passed_ns, healthy, answered in steps:
        now_ns += passed_ns
        lease.look("" if healthy else "blind")
        if lease.due(now_ns):
            if answered:
                took_ns = now_ns
                lease.renew(now_ns)
            else:
                lease.missed(now_ns)
        silent_ns = now_ns if took_ns is None else now_ns - took_ns
        if took_ns is None or silent_ns >= LAPSES_NS or not healthy:
            assert lease.forbids(now_ns)
        elif silent_ns <= QUOTES_STOP_NS:
            assert not lease.forbids(now_ns)


def test_a_chain_has_lapsed_when_the_venue_waits_no_more() -> None:
    lease = HealthLease()
    assert not lease.lapsed(10**12)
    lease.renew(0)
    assert [lease.lapsed(at_s * S) for at_s in (9, 10)] == [False, True]
