from __future__ import annotations

import pytest

from engine.cli.doctor import reach
from engine.domain.catalog import Grade
from engine.errors import BadInput
from engine.watch.send import Outcome
from storage import watch as log
from storage.channels import change_channel, put_channel, read_channels
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


def test_a_kill_that_no_person_has_seen_is_nothing_to_call_success(desk: Watched) -> None:
    desk.add_channel("ping", "dead_mans_switch")
    desk.turn(MINUTE, every=10)
    desk.raise_("kill", "stopped by hand")
    desk.turn(2 * MINUTE, every=10)
    last = [one for name, one in desk.sends.sent if name == "ping"][-1]
    assert (last.id, last.note) == ("fail", "KILL: stopped by hand")
    ((key,),) = desk.rows("SELECT key FROM notices")
    log.ask(desk.home, log.RequestKind.ACK, key, "ann", desk.now_ns)
    desk.turn(2 * MINUTE, every=10)
    assert [one for name, one in desk.sends.sent if name == "ping"][-1].id == "success"


def test_a_second_dead_mans_switch_is_refused_and_one_of_before_is_told(desk: Watched) -> None:
    desk.add_channel("ping", "dead_mans_switch")
    desk.add_channel("second", "dead_mans_switch")  # as a version of before took it
    desk.turn(5)
    ((text,),) = desk.rows("SELECT text FROM notices WHERE kind = 'ping_failing'")
    assert text == "only ping is called, second never: a desk has one dead man's switch"
    switches = {"dead_mans_switch"}
    found = read_channels(desk.home)
    assert found is not None
    with pytest.raises(BadInput, match="ping is one: remove it or turn it off first"):
        put_channel(desk.home, "third", found.entries["second"], switches=switches)
    change_channel(desk.home, "second", on=False, switches=switches)
    with pytest.raises(BadInput, match="ping is one"):
        change_channel(desk.home, "second", on=True, switches=switches)
    put_channel(desk.home, "ping", found.entries["ping"], switches=switches)
    put_channel(desk.home, "phone", found.entries["phone"], switches=switches)
    desk.turn(5)
    assert desk.rows("SELECT count(*) FROM notices WHERE ended_ns IS NULL") == [(0,)]
