from __future__ import annotations

from random import Random

import pytest

from engine.errors import ConfigError
from engine.lab.simulate import world
from engine.lab.simulate.faults import PER_MESSAGE, PER_MINUTE, Fault, Faults, faults_named
from engine.lab.simulate.world import simulate

F = Fault
GROUPS = (
    (F.LOST_BEFORE, F.LOST_AFTER, F.BROKEN, F.REFUSED_LINE, F.QUESTION_FAILED, F.THROTTLED),
    (F.LATE_REQUEST, F.LATE_ANSWER, F.TWICE, F.REORDERED, F.REJECTED),
    (F.LISTING_EMPTY, F.LISTING_CUT, F.REPORT_LOST, F.REPORT_TWICE, F.REPORT_LATE, F.VOIDED),
    (F.FEED_LOST, F.FEED_SILENT, F.FEED_STALE, F.FEED_GAP, F.FEED_CROSSED, F.TICK_CHANGED),
    (F.POST_ONLY, F.CANCEL_ONLY, F.DISABLED, F.RESTART, F.RESTART_DROPS),
    (F.USER_FEED_DOWN, F.USER_FEED_SILENT, F.BEATS_LOST, F.CLOCK_JUMP),
    (F.CRASH, F.CRASH_SENDING, F.DISK_FULL, F.SECOND_ENGINE, F.KILL),
    (F.KILL_PART, F.CRASH, F.LOST_AFTER, F.LATE_REQUEST),
    (F.SETTINGS, F.JOURNAL_LOST, F.CRASH, F.REPORT_LOST),
    (F.VENUE_REDEEMS, F.CRASH_REDEEMING, F.REPORT_LOST, F.LOST_AFTER, F.JOURNAL_LOST),
    (F.VENUE_CONVERTS, F.CRASH_REDEEMING, F.REPORT_TWICE, F.LATE_ANSWER),
    (F.HOME_PUT_BACK, F.BACKUP_RESTORED, F.REPORT_LOST, F.VENUE_CONVERTS),
    (F.ENGINE_MISTAKE, F.LATE_REQUEST, F.LATE_ANSWER, F.LISTING_OUTAGE, F.LISTING_EMPTY),
    (F.FIRST_HOME_PUT_BACK, F.HOME_PUT_BACK, F.REPORT_LOST, F.CRASH),
    (F.PAUSED, F.REPORT_LOST),
    (F.TAPE_DAMAGED, F.PAUSED, F.CRASH),
    (F.LISTING_OUTAGE, F.REPORT_LOST, F.USER_FEED_SILENT, F.CRASH),
    (F.TOKENS_COME, F.FEED_LOST, F.FEED_SILENT, F.CRASH),
    (F.MARK_LEAPS, F.REPORT_LOST, F.RESTART_DROPS),
)
COUNTED_AS = {F.VOIDED: "settlement_failed"}


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "group",
    [
        # Worlds with a perpetual take twenty times the time of the others.
        pytest.param(group, id=str(group[0]), marks=[pytest.mark.soak] * (F.MARK_LEAPS in group))
        for group in GROUPS
    ],
)
def test_every_fault_really_happens_and_is_survived(
    group: tuple[Fault, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "PAUSE_H", (2, 2.2))  # the exchange lives through all of it
    monkeypatch.setattr(world, "PAUSES_MAX", 1)
    missing = set(group)
    for seed in range(11, 17):
        outcome = simulate(seed, 2.0, faults=group, accounts=1, perp=F.MARK_LEAPS in group)
        assert outcome.verdicts == ()
        missing -= {f for f in group if outcome.counts.get(COUNTED_AS.get(f, str(f)))}
        if not missing:
            return
    assert not missing


def test_every_fault_has_a_rate_and_a_test() -> None:
    assert PER_MESSAGE.keys() | PER_MINUTE.keys() == set(Fault)
    assert not PER_MESSAGE.keys() & PER_MINUTE.keys()
    assert {fault for group in GROUPS for fault in group} == set(Fault) - {F.RETRIED}


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 6))
def test_a_machine_that_is_away_for_hours_trades_again(seed: int) -> None:
    outcome = simulate(seed, 2.0, faults=(F.PAUSED, F.REPORT_LOST), accounts=2)
    assert outcome.verdicts == ()
    assert outcome.counts["paused"]
    assert outcome.simulated_s > 2 * 3_600


def test_a_seed_draws_its_own_faults() -> None:
    drawn = [tuple(fault for fault in Fault if Faults(Random(n)).rate(fault)) for n in range(3)]
    assert len(set(drawn)) == 3


def test_faults_are_named_on_the_command_line() -> None:
    assert faults_named("none") == ()
    assert faults_named("all") == tuple(Fault)
    assert faults_named("crash, kill") == (F.CRASH, F.KILL)
    with pytest.raises(ConfigError, match="there are: lost_before"):
        faults_named("gremlins")
