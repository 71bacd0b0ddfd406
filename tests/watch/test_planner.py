"""Who hears of what, when and how often, under a moved clock; stated rules of repetition."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.watch.desk import Trouble
from engine.watch.messages import AlertMessage
from engine.watch.send import Outcome
from storage import watch as log
from storage.alerts import see_alert
from storage.database import transaction, writing
from storage.users import ENGINE_ID
from storage.watch import RequestKind
from tests.watch.desks import HOUR, MINUTE, Recorder, Watched


def test_a_critical_alert_leaves_at_once_and_once(desk: Watched) -> None:
    desk.raise_("kill", account="demo")
    desk.turn(5)
    assert desk.sends.titles() == ["[CRITICAL] KILL"]
    desk.turn(3 * HOUR, every=300)
    assert desk.sends.titles() == ["[CRITICAL] KILL"]


def test_ten_thousand_equal_events_are_one_message_with_a_count(desk: Watched) -> None:
    desk.raise_("kill", account="demo", count=10_000)
    desk.turn(30)
    ((_, message),) = desk.sends.sent
    assert message.lines[0].count == 10_000
    assert "10,000 times" in message.text()


@pytest.mark.long
def test_ten_thousand_events_that_the_watch_finds_are_one_message_with_a_count(
    desk: Watched,
) -> None:
    def fills(numbers: range, instrument: str = "demo:a") -> list[Trouble]:
        return [
            Trouble(
                kind="large_fill", subject=f"event:demo/{number}", text=f"number {number}",
                account="demo", bot="b1", instrument=instrument,
            )
            for number in numbers
        ]  # fmt: skip

    desk.probe.found = [*fills(range(10_000)), *fills(range(10_000, 10_002), "demo:b")]
    desk.turn(1)
    desk.probe.found = fills(range(10_000))
    desk.turn(9)
    assert desk.rows("SELECT count, text FROM notices ORDER BY instrument") == [
        (10_000, "number 9999"), (2, "number 10001"),
    ]  # fmt: skip
    ((_, message),) = desk.sends.sent
    assert {line.count for line in message.lines} == {10_000, 2}
    log.ask(desk.home, RequestKind.ACK, message.lines[0].key, "ann", desk.now_ns)
    log.ask(desk.home, RequestKind.ACK, message.lines[1].key, "ann", desk.now_ns)
    desk.probe.found = fills(range(9_000, 10_003))
    desk.turn(5)
    assert desk.rows("SELECT count FROM notices WHERE acked_ns IS NULL") == [(1,)], "one is new"


def test_jobs_that_fail_one_after_the_other_are_counted(desk: Watched) -> None:
    for number in range(40):
        desk.probe.found = [
            Trouble(kind="job_failed", subject=f"event:{number}", text=f"job {number} failed")
        ]
        desk.turn(1)
    desk.turn(5)
    assert desk.rows("SELECT count, text FROM notices") == [(40, "job 39 failed")]
    assert desk.sends.titles() == ["[WARNING] A job failed"]


@pytest.mark.long
def test_what_goes_on_is_told_again_after_the_rules_time_with_what_is_new(desk: Watched) -> None:
    desk.raise_("kill", account="demo")
    desk.turn(2)
    for _ in range(4):
        desk.raise_("kill", account="demo", count=50)
        desk.turn(10 * MINUTE, every=30)
    assert len(desk.sends.sent) == 1
    desk.turn(21 * MINUTE, every=30)
    assert desk.sends.titles() == ["[CRITICAL] KILL", "[CRITICAL] it goes on: KILL"]
    assert "201 times, 200 since the last message" in desk.sends.sent[1][1].text()


def test_warnings_come_together_each_quarter_of_an_hour(desk: Watched) -> None:
    desk.raise_("feed", "feed one sends nothing", instrument="demo:a")
    desk.turn(10 * MINUTE, every=30)
    desk.raise_("bot_rests", "it pauses", bot="b1")
    desk.turn(4 * MINUTE, every=30)
    assert desk.sends.sent == []
    desk.turn(2 * MINUTE, every=30)
    ((_, message),) = desk.sends.sent
    assert message.title.startswith("[WARNING] 2 alerts: ")
    assert {line.kind for line in message.lines} == {"feed", "bot_rests"}


def test_what_is_only_news_stays_on_the_page(desk: Watched) -> None:
    desk.raise_("price_improved", "filled better")
    desk.turn(HOUR, every=120)
    assert desk.sends.sent == []


def test_quiet_hours_hold_warnings_back_and_let_critical_ones_through(desk: Watched) -> None:
    desk.settle(
        {"rules": {"warning": {"quiet": "11:00-13:00"}, "critical": {"quiet": "11:00-13:00"}}}
    )
    desk.turn(1)
    desk.raise_("large_fill", "a large one")
    desk.raise_("kill", "now")
    desk.turn(59 * MINUTE, every=60)
    assert desk.sends.titles() == ["[CRITICAL] KILL"]
    desk.turn(2 * MINUTE, every=30)
    assert desk.sends.titles()[1:] == ["[WARNING] A large fill"]


@pytest.mark.long
def test_escalation_goes_on_until_a_person_acknowledges(desk: Watched) -> None:
    for name in ("mail", "partner"):
        desk.add_channel(name)
    desk.settle(
        {
            "rules": {
                "critical": {
                    "channels": ["phone"], "escalate_min": 10, "escalate_to": ["mail", "partner"],
                },
                "warning": {"channels": ["phone"]},
            }
        }
    )  # fmt: skip
    desk.raise_("kill")
    desk.turn(9 * MINUTE, every=30)
    assert [name for name, _ in desk.sends.sent] == ["phone"]
    desk.turn(2 * MINUTE, every=30)
    assert [name for name, _ in desk.sends.sent] == ["phone", "phone"], "the same channel again"
    desk.turn(10 * MINUTE, every=30)
    assert [name for name, _ in desk.sends.sent] == ["phone", "phone", "mail"]
    assert desk.sends.titles("mail") == ["[CRITICAL] not acknowledged: KILL"]
    with writing(desk.state) as connection, transaction(connection):
        see_alert(connection, ENGINE_ID, 1, "ann", desk.now_ns)
    desk.turn(HOUR, every=60)
    assert [name for name, _ in desk.sends.sent] == ["phone", "phone", "mail"]


@pytest.mark.long
@pytest.mark.parametrize(("ladder", "last"), [(["mail"], "mail"), ([], "phone")])
def test_an_escalation_without_an_answer_goes_on_with_its_last_step_within_the_limit(
    desk: Watched, ladder: list[str], last: str
) -> None:
    desk.add_channel("mail")
    rule = {"channels": ["phone"], "escalate_min": 10, "escalate_to": ladder, "per_hour_max": 4}
    desk.settle({"rules": {"critical": rule, "warning": {"channels": ["phone"]}}})
    desk.raise_("kill")
    desk.turn(59 * MINUTE, every=30)
    sent = [name for name, _ in desk.sends.sent]
    assert sent[:2] == ["phone", "phone"]
    assert set(sent[2:]) == {last}
    assert sent.count(last) == 4, "the limit of an hour"
    desk.turn(2 * HOUR, every=60)
    assert len(desk.sends.sent) > len(sent)
    with writing(desk.state) as connection, transaction(connection):
        see_alert(connection, ENGINE_ID, 1, "ann", desk.now_ns)
    desk.turn(2)
    told = len(desk.sends.sent)
    desk.turn(2 * HOUR, every=60)
    assert len(desk.sends.sent) == told


@pytest.mark.long
def test_a_flood_of_different_alerts_is_bounded_and_none_is_lost(desk: Watched) -> None:
    desk.settle({"rules": {"critical": {"per_hour_max": 5}}})
    desk.turn(1)
    for number in range(40):
        desk.raise_("kill", account=f"account-{'abcdefghijklmnopqrstuvwxyz'[number % 26]}{number}")
        desk.turn(2)
    assert len(desk.sends.sent) == 5
    desk.turn(61 * MINUTE, every=30)
    assert len(desk.sends.sent) == 6, "what was beyond came together"
    told = sum(len(one.lines) + one.more for _, one in desk.sends.sent)
    assert told == 40


def test_an_acknowledged_alert_is_in_no_digest_any_more(desk: Watched) -> None:
    desk.raise_("feed", "silent", instrument="demo:a")
    desk.turn(5)
    ((key,),) = desk.rows("SELECT key FROM notices")
    log.ask(desk.home, RequestKind.ACK, key, "ann", desk.now_ns)
    desk.turn(16 * MINUTE, every=30)
    assert desk.sends.sent == []
    assert desk.rows("SELECT state FROM deliveries") == [("dropped",)]


def test_trouble_that_is_over_is_told_to_who_heard_of_it(desk: Watched) -> None:
    desk.probe.found = [Trouble(kind="engine_dead", text="supervisor says FATAL")]
    desk.turn(100)
    desk.probe.found = []
    desk.turn(5)
    assert desk.sends.titles() == [
        "[CRITICAL] The engine is not running",
        "[over] The engine is not running",
    ]
    assert "It is over since" in desk.sends.sent[1][1].text()
    desk.probe.found = [Trouble(kind="engine_dead", text="supervisor says FATAL")]
    desk.turn(5)
    assert len(desk.sends.sent) == 3, "another time is told anew"


@pytest.mark.long
def test_refusals_are_retried_with_growing_waits_and_shown(desk: Watched) -> None:
    desk.sends.answers["phone"] = Outcome(error="answered 500")
    desk.raise_("kill")
    desk.turn(12 * MINUTE, every=10)
    tries = sum("KILL" in title for title in desk.sends.titles())
    assert 5 <= tries <= 7, "10, 30, 60, 120, 300 s between them"
    assert desk.rows("SELECT state, error FROM deliveries WHERE rule = 'critical'") == [
        ("waiting", "answered 500")
    ]
    assert len({message.id for _, message in desk.sends.sent if "KILL" in message.title}) == 1
    kinds = {kind for (kind,) in desk.rows("SELECT kind FROM notices")}
    assert "channel_failing" in kinds
    desk.sends.answers.clear()
    desk.turn(HOUR, every=60)
    assert ("sent", "") in desk.rows("SELECT state, error FROM deliveries WHERE rule = 'critical'")


def test_a_wait_the_channel_asks_for_is_kept(desk: Watched) -> None:
    desk.sends.answers["phone"] = Outcome(error="answered 429", retry_after_s=600)
    desk.raise_("kill")
    desk.turn(9 * MINUTE, every=30)
    assert len(desk.sends.sent) == 1
    desk.turn(2 * MINUTE, every=30)
    assert len(desk.sends.sent) == 2


@pytest.mark.long
def test_a_message_that_no_attempt_of_a_day_delivers_is_given_up_and_shown(desk: Watched) -> None:
    desk.sends.answers["phone"] = Outcome(error="wrong token", permanent=True)
    desk.settle({"rules": {"warning": {"mute": True}}})
    desk.raise_("kill")
    desk.turn(25 * HOUR, every=900)
    assert desk.rows("SELECT state, error FROM deliveries WHERE rule = 'critical'") == [
        ("failed", "wrong token")
    ]


def test_a_watch_killed_in_the_middle_loses_nothing_and_says_what_it_repeats(
    desk: Watched,
) -> None:
    desk.sends.lost = True
    desk.raise_("kill", account="one")
    desk.turn(1)
    assert len(desk.sends.sent) == 1
    desk.raise_("kill", account="two")
    desk.again(30)
    desk.sends.lost = False
    desk.turn(10)
    sent = killed(desk)
    assert [line.where["account"] for one in sent for line in one.lines] == ["one", "one", "two"]
    assert sent[0].id == sent[1].id
    assert "may have arrived" in sent[1].text()
    assert "may have arrived" not in sent[2].text()
    desk.again(30)
    desk.turn(HOUR, every=120)
    assert len(killed(desk)) == 3


def killed(desk: Watched) -> list[AlertMessage]:
    """Return the messages sent about KILL."""
    return [one for _, one in desk.sends.sent if "KILL" in one.title]


def test_a_watch_that_ended_without_a_stop_says_so_however_soon_it_is_back(desk: Watched) -> None:
    desk.turn(2)
    desk.again(10 * MINUTE, stopped=True)
    desk.turn(2)
    assert desk.sends.sent == [], "the first has no forerunner, the second's was stopped"
    desk.again(10 * MINUTE)
    desk.turn(2)
    assert desk.sends.titles() == ["[WARNING] The watch had been ended"]
    desk.again(4)
    desk.turn(2)
    assert desk.sends.titles() == ["[WARNING] The watch had been ended"] * 2
    (line,) = desk.sends.sent[1][1].lines
    assert "it ended without a stop" in line.text
    assert "for 4 s" in line.text


def test_a_clock_that_goes_back_hides_no_alert(desk: Watched) -> None:
    desk.raise_("kill", account="one")
    desk.turn(5)
    desk.now_ns -= 5 * HOUR * 10**9
    desk.raise_("kill", account="one")
    desk.raise_("kill", account="two")
    desk.turn(5)
    assert [line.where["account"] for _, one in desk.sends.sent for line in one.lines] == [
        "one", "two",
    ]  # fmt: skip
    ((count,),) = desk.rows("SELECT count FROM notices WHERE account = 'one'")
    assert count == 2


def set_back(desk: Watched, *, restarted: bool = False) -> None:
    """Set the clock back by five hours, also while no watch runs."""
    desk.turn(5)
    if restarted:
        desk.again(-5 * HOUR, stopped=True)
    else:
        desk.now_ns -= 5 * HOUR * 10**9


def test_a_clock_that_goes_back_does_not_silence_the_dead_mans_switch(desk: Watched) -> None:
    desk.add_channel("ping", "dead_mans_switch")
    set_back(desk)
    before = len(desk.sends.sent)
    desk.turn(10 * MINUTE, every=10)
    assert 10 <= len(desk.sends.sent) - before <= 11


@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_that_goes_back_holds_no_retry_and_no_digest(
    desk: Watched, restarted: bool
) -> None:
    desk.raise_("feed", "silent", instrument="demo:a")
    desk.sends.answers["phone"] = Outcome(error="answered 500")
    desk.raise_("kill")
    set_back(desk, restarted=restarted)
    desk.turn(30)
    assert desk.sends.titles().count("[CRITICAL] KILL") >= 2
    desk.sends.answers.clear()
    desk.turn(16 * MINUTE, every=30)
    assert any("feed" in {line.kind for line in one.lines} for _, one in desk.sends.sent)


@pytest.mark.long
def test_a_clock_that_goes_back_holds_no_repetition_no_escalation_and_no_limit(
    desk: Watched,
) -> None:
    rule = {"escalate_min": 40, "again_min": 25, "per_hour_max": 4}
    desk.settle({"rules": {"critical": rule}})
    desk.raise_("kill")
    set_back(desk)
    desk.raise_("kill")
    desk.turn(26 * MINUTE, every=30)
    assert desk.sends.titles()[1:] == ["[CRITICAL] it goes on: KILL"]
    set_back(desk)
    desk.turn(15 * MINUTE, every=30)
    assert desk.sends.titles()[2:] == ["[CRITICAL] not acknowledged: KILL"]
    for name in "abcdef":
        desk.raise_("kill", account=name)
    set_back(desk)
    desk.turn(65 * MINUTE, every=30)
    told = {line.where.get("account") for _, one in desk.sends.sent for line in one.lines}
    assert told >= set("abcdef")


def test_a_clock_that_goes_back_breaks_no_quiet_hours(desk: Watched) -> None:
    desk.settle({"rules": {"warning": {"quiet": "11:00-13:00"}}})
    desk.turn(1)
    desk.raise_("large_fill", "a large one")
    desk.turn(2)
    desk.now_ns -= 30 * MINUTE * 10**9
    desk.turn(85 * MINUTE, every=60)
    assert desk.sends.sent == [], "12:55"
    desk.turn(10 * MINUTE, every=60)
    assert desk.sends.titles() == ["[WARNING] A large fill"]


def test_a_first_watch_tells_nothing_of_long_ago(tmp_path: Path) -> None:
    desk = Watched(tmp_path / "home")
    desk.add_channel("phone")
    desk.raise_("kill", account="old")
    desk.now_ns += 2 * HOUR * 10**9
    desk.again()
    desk.raise_("kill", account="new")
    desk.turn(5)
    assert [line.where["account"] for _, one in desk.sends.sent for line in one.lines] == ["new"]
    desk.watch.stop(desk.now_ns)


def test_a_channel_that_is_off_or_gone_gets_nothing_and_says_so(desk: Watched) -> None:
    from storage.channels import change_channel

    change_channel(desk.home, "phone", on=False)
    desk.raise_("kill")
    desk.turn(5)
    assert desk.sends.sent == []
    log.ask(desk.home, RequestKind.TEST, "phone", "ann", desk.now_ns)
    log.ask(desk.home, RequestKind.TEST, "nowhere", "ann", desk.now_ns)
    desk.turn(5)
    assert desk.sends.titles() == ["[Pitboss] This is a test"], "a test goes out all the same"
    assert desk.rows("SELECT state, error FROM deliveries WHERE channel = 'nowhere'") == [
        ("failed", "the channel was removed")
    ]


def test_one_part_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    class Broken:
        every_s = 1.0

        def look(self, *_: object) -> list[Trouble]:
            raise ZeroDivisionError("by hand")

    class Sound:
        every_s = 1.0

        def look(self, *_: object) -> list[Trouble]:
            return [Trouble(kind="engine_hung", text="its heartbeat is old")]

    made = Watched(tmp_path / "home", probes={"broken": Broken(), "sound": Sound()})
    made.add_channel("phone")
    made.turn(3)
    assert sorted(made.sends.titles()) == [
        "[CRITICAL] The engine does not answer", "[WARNING] A part of the watch failed",
    ]  # fmt: skip
    made.watch.stop(made.now_ns)


@pytest.mark.parametrize("name", ["a", "b", "c", "d", "e"])
def test_each_channel_hears_each_alert_once(name: str, tmp_path: Path) -> None:
    made = Watched(tmp_path / "home", Recorder())
    for one in "abcde":
        made.add_channel(one)
    made.raise_("kill")
    made.turn(10)
    assert made.sends.titles(name) == ["[CRITICAL] KILL"]
    made.watch.stop(made.now_ns)
