from __future__ import annotations

from engine.cli.doctor import reach
from engine.domain.catalog import Grade
from engine.watch.send import Outcome
from tests.watch.desks import MINUTE, Watched


def test_the_doctor_says_whether_a_person_and_the_outside_are_reached(desk: Watched) -> None:
    assert "no watch runs" in reach(desk.home, desk.now_ns).said
    desk.turn(2)
    assert "no dead man's switch" in reach(desk.home, desk.now_ns).said
    desk.add_channel("ping", "dead_mans_switch")
    desk.turn(3)
    found = reach(desk.home, desk.now_ns)
    assert (found.grade, "2 channels" in found.said) == (Grade.OK, True)
    desk.sends.answers["ping"] = Outcome(error="answered 404")
    desk.turn(2 * MINUTE, every=10)
    assert "answered 404" in reach(desk.home, desk.now_ns).said


def test_without_a_channel_alerts_stay_on_the_page(tmp_path: object, desk: Watched) -> None:
    del tmp_path
    from storage.channels import change_channel

    change_channel(desk.home, "phone", on=None)
    assert "no channel" in reach(desk.home, desk.now_ns).said


def test_the_switch_is_called_each_minute_and_says_fail_while_something_critical_stands(
    desk: Watched,
) -> None:
    from engine.watch.desk import Trouble

    desk.add_channel("ping", "dead_mans_switch")
    desk.turn(3 * MINUTE, every=10)
    said = [one.id for name, one in desk.sends.sent if name == "ping"]
    assert said[0] == "start"
    assert set(said[1:]) == {"success"}
    assert 3 <= len(said) <= 5
    desk.probe.found = [Trouble(kind="engine_dead", text="no process")]
    desk.turn(2 * MINUTE, every=10)
    last = [one for name, one in desk.sends.sent if name == "ping"][-1]
    assert (last.id, "no process" in last.note) == ("fail", True)
    assert "ping" not in {name for name, one in desk.sends.sent if "engine" in one.title}
