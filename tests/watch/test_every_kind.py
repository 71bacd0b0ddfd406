"""Each kind of alert there is, by its cause or exact condition, reaches a mailbox and a webhook.

Kinds are found by scan. What the watch finds is brought about here by what it looks at; what
executor, gateway, engine, bots, jobs and venues raise is raised by those to which it happens
(`tests.watch.causes` and its neighbours). A kind without a cause fails here.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.clock import WallClock
from engine.domain import alerts
from engine.domain.alerts import ALERT_KINDS, AlertKind, conditions, described, watched
from engine.plugins import found
from engine.watch.desk import SECOND_NS, Desk, DeskPlace, Heartbeat, Trouble
from engine.watch.probes import Probe
from engine.watch.probes import engine as engine_probe
from engine.watch.probes.dashboard import DashboardProbe
from engine.watch.probes.engine import EngineProbe
from engine.watch.probes.machine import MachineProbe
from engine.watch.probes.programs import ProgramsProbe
from engine.watch.probes.state import StateProbe
from storage.database import writing
from storage.supervisor import ProgramStatus
from tests.ports import free_port
from tests.watch import desk_causes, file_causes, live_causes, venue_causes
from tests.watch.causes import CAUSES, GATEWAYS, STORED, raised
from tests.watch.desks import (
    MINUTE,
    NOON_NS,
    Inline,
    Receiver,
    Watched,
    receiving,
)
from tests.watch.mails import Mails, mail_fields, mailing
from tests.watch.stated import (
    Stated,
    asked,
    balance,
    book,
    failed_job,
    fill,
    holding,
    idle_bot,
    limit,
)

ROOT = Path(__file__).parents[2]
FOUND_BY_WATCH = {row.name for row in (*conditions.ROWS, *watched.ROWS)}
ACTED = {**live_causes.ACTS, **desk_causes.ACTS, **file_causes.ACTS, **venue_causes.ACTS}
"""Kinds brought about by what happens to a home."""
RAISED = sorted(ALERT_KINDS.keys() - FOUND_BY_WATCH)


class Reached(NamedTuple):
    """A mail server and a webhook of this machine."""

    mails: Mails
    port: int
    hook: Receiver

    def add_to(self, desk: Watched) -> None:
        """Send every kind to both, at once: what the rules do is proven elsewhere."""
        desk.add_channel("mail", "email", **mail_fields(self.port, recipients="me@example.org"))
        desk.add_channel("hook", url=f"{self.hook.url}/hook")
        every = {"kinds": sorted(ALERT_KINDS), "severity_min": "info", "channels": ["mail", "hook"]}
        rules = {"every": every | {"per_hour_max": 1_000}}
        desk.settle({"rules": rules})
        self.clear()

    def clear(self) -> None:
        self.mails.got.clear()
        self.hook.got.clear()

    def arrived(self, name: str) -> None:
        """Require that both hold this kind's title, advice and sentence."""
        kind = described(name)
        (line,) = (
            line
            for body in self.hook.bodies()
            for line in body["lines"]
            if line["kind"] == name and not line["over"]
        )
        assert line["title"] == kind.title
        assert line["severity"] == kind.severity
        assert line["advice"] == kind.advice
        assert line["text"]
        subject = f"[{kind.severity.upper()}] {kind.title}"
        bodies = [
            (mail["Subject"], mail.get_body(("plain",)).get_content()) for _, mail in self.mails.got
        ]
        texts = [
            text
            for said, text in bodies
            if said == subject or (" 2 alerts: " in said and kind.title in text)
        ]
        assert texts, [mail["Subject"] for _, mail in self.mails.got]
        assert line["text"].split()[0] in texts[0]


@pytest.fixture(scope="module")
def reached() -> Iterator[Reached]:
    with mailing() as (mails, port), receiving() as hook:
        yield Reached(mails, port, hook)


# -- What the engine and the worker raise ----------------------------------------------------------


@pytest.fixture(scope="module")
def raising(tmp_path_factory: pytest.TempPathFactory, reached: Reached) -> Iterator[Watched]:
    made = Watched(tmp_path_factory.mktemp("raised") / "home", Inline())
    reached.add_to(made)
    yield made
    made.watch.stop(made.now_ns)


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", ACTED)
def test_what_happens_to_a_home_arrives(name: str, tmp_path: Path, reached: Reached) -> None:
    desk = Watched(tmp_path / "home", Inline())
    ACTED[name](desk.home)
    reached.add_to(desk)
    desk.turn(2)
    reached.arrived(name)
    desk.watch.stop(desk.now_ns)


@pytest.mark.sampled(16)
@pytest.mark.parametrize("name", [*CAUSES, *GATEWAYS, *STORED])
def test_what_the_engine_raises_arrives(name: str, raising: Watched, reached: Reached) -> None:
    reached.clear()
    if name in STORED:
        with writing(raising.state) as connection:
            STORED[name](connection, raising.now_ns)
    else:
        raising.keep(raised(name))
    raising.turn(2)
    reached.arrived(name)


NO_FIGURES = {
    "contradiction": "the venue's own words",
    "intent_refused": "it names a bot and a market",
    "question_fails": "how long is a constant",
    "question_waits": "how long is a constant",
    "unread_row": "the venue's own words",
    "venue_waits": "until when, as the venue said",
}
"""Kinds whose sentences hold digits that are no figure, and why."""


@pytest.mark.parametrize("name", [*CAUSES, *GATEWAYS])
def test_a_sentence_with_figures_has_them_by_name(name: str) -> None:
    alert = raised(name)
    words = alert.text.replace(str(alert.instrument), "")
    if re.search(r"\d", words) and name not in NO_FIGURES:
        assert alert.numbers, alert.text
    assert all(name and figure for name, figure in alert.numbers.items())


def test_figures_of_an_engines_alert_stand_in_every_message(
    tmp_path: Path, reached: Reached
) -> None:
    desk = Watched(tmp_path / "home", Inline())
    reached.add_to(desk)
    alert = raised("rejected_no_funds")
    assert alert.numbers == {"order": "1", "size": "buy yes 100", "price": "48¢"}
    desk.keep(alert)
    desk.turn(2)
    desk.watch.stop(desk.now_ns)
    (line,) = (line for body in reached.hook.bodies() for line in body["lines"] if not line["over"])
    assert line["numbers"] == alert.numbers
    assert line["where"]["bot"] == "maker"
    (mail,) = [mail for _, mail in reached.mails.got]
    for part in ("plain", "html"):
        text = mail.get_body((part,)).get_content()
        assert "order: 1 · size: buy yes 100 · price: 48¢" in text


def test_every_kind_has_its_cause() -> None:
    assert {*CAUSES, *GATEWAYS, *STORED, *ACTED} == set(RAISED)


def test_each_of_them_is_raised_by_the_product() -> None:
    texts = [
        path.read_text()
        for room in ("engine", "storage")
        for path in (ROOT / room).rglob("*.py")
        if "domain/alerts" not in path.as_posix()
    ]
    source = "\n".join(texts)
    made = {match[1] for match in re.finditer(r"f\"(\w+_)\{", source)}
    constants = {
        row.name: label
        for file in found("alerts", alerts.__name__)
        for label, row in vars(file.module).items()
        if isinstance(row, AlertKind)
    }
    unraised = [
        name
        for name in RAISED
        if f'"{name}"' not in source
        and not any(name.startswith(prefix) for prefix in made & {"rejected_", "stop_"})
        and not re.search(rf"\b{constants.get(name, 'NO CONSTANT')}\b", source)
    ]
    assert unraised == []


# -- What the watch finds in the state the engine wrote --------------------------------------------


def large_fill(stated: Stated) -> None:
    stated.turn(5)
    fill(stated, 2, 500_000_001)
    stated.turn(5)


def lost_connection(stated: Stated) -> None:
    stated.detail = {"feeds": {"venue": {"trouble": "no socket", "markets": 1, "last_word_ms": 1}}}
    stated.turn(70)


def closing(stated: Stated) -> None:
    holding(stated)
    closes_ns = stated.desk.now_ns + 59 * MINUTE * SECOND_NS
    stated.run("UPDATE instruments SET closes_ns = ?", closes_ns)
    stated.turn(20)


def unredeemed(stated: Stated) -> None:
    holding(stated, payout=1_000_000)
    stated.turn(11 * MINUTE, every=60)


def idle(stated: Stated) -> None:
    idle_bot(stated)
    stated.turn(33 * MINUTE, every=120)


def job(stated: Stated) -> None:
    stated.turn(5)
    failed_job(stated)
    stated.turn(10)


def slow(stated: Stated) -> None:
    stated.detail = {"turn_p99_us": 80_000.0}
    stated.turn(70)


def price(stated: Stated) -> None:
    book(stated, 6_000, 6_002)
    asked(stated, above=0.6)
    stated.turn(5)


def no_price(stated: Stated) -> None:
    asked(stated, above=0.6)
    stated.turn(11 * MINUTE, every=60)


def low(stated: Stated) -> None:
    balance(stated, 99_000_000)
    stated.turn(40)


def used(name: str) -> Callable[[Stated], None]:
    def near(stated: Stated) -> None:
        limit(stated, name, 80_000_000)
        stated.turn(40)

    return near


CONDITIONS: dict[str, Callable[[Stated], None]] = {
    "large_fill": large_fill,
    "balance_low": low,
    "connection_lost": lost_connection,
    "limit_near": used("exposure_market_max"),
    "daily_loss": used("daily_loss_max"),
    "drawdown": used("drawdown_max"),
    "price_reached": price,
    "price_unseen": no_price,
    "market_closing": closing,
    "redeemable": unredeemed,
    "bot_idle": idle,
    "job_failed": job,
    "latency": slow,
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", [row.name for row in conditions.ROWS])
def test_a_condition_arrives(name: str, tmp_path: Path, reached: Reached) -> None:
    stated = Stated(tmp_path / "home", Inline())
    reached.add_to(stated.desk)
    CONDITIONS[name](stated)
    reached.arrived(name)
    stated.desk.watch.stop(stated.desk.now_ns)


# -- What the watch finds of programs and machine, and of itself -----------------------------------


class Shown:
    """A probe of the product that is shown programs and a heartbeat of a test's own."""

    every_s = 1.0

    def __init__(self, probe: Probe, **shown: object) -> None:
        self.probe = probe
        self.shown = shown
        self.age_s = 1.0

    def look(self, desk: Desk, now_ns: int) -> Iterable[Trouble]:
        desk.heartbeat = Heartbeat(
            engine_id="pitboss", state="RUNNING", heartbeat_ns=now_ns - int(self.age_s * SECOND_NS),
            started_ns=1, pid=os.getpid(), detail="{}",
        )  # fmt: skip
        for name, value in self.shown.items():
            setattr(desk, name, value)
        return self.probe.look(desk, now_ns)


def program(state: str, **cells: object) -> ProgramStatus:
    usual: dict[str, object] = {"pid": 0, "start_s": 1, "exit_code": 1, "description": "gave up"}
    return ProgramStatus(state=state, **(usual | cells))  # type: ignore[arg-type]


def engine(state: str, age_s: float = 1, **cells: object) -> Shown:
    made = Shown(EngineProbe(), programs={"engine": program(state, **cells)})
    made.age_s = age_s
    return made


class Broken:
    """A probe that fails."""

    every_s = 1.0

    def look(self, desk: Desk, now_ns: int) -> Iterable[Trouble]:
        raise ZeroDivisionError(f"at {now_ns} in {desk.place.folder}")


PROBES: dict[str, Callable[[], Probe]] = {
    "engine_dead": lambda: engine("FATAL"),
    "engine_hung": lambda: engine("RUNNING", 46, pid=os.getpid()),
    "engine_stopped": lambda: engine("STOPPED"),
    "engine_not_started": lambda: engine("FATAL", 5_000),
    "desk_gone": lambda: Shown(ProgramsProbe(), orphaned=True),
    "worker_down": lambda: Shown(ProgramsProbe(), programs={"worker": program("FATAL")}),
    "dashboard_down": lambda: Shown(ProgramsProbe(), programs={"dashboard": program("FATAL")}),
    "dashboard_silent": lambda: Shown(
        DashboardProbe(), place=DeskPlace(folder="", state="", port=free_port()), began_ns=0
    ),
    "demo_down": lambda: Shown(ProgramsProbe(), programs={"demo": program("EXITED")}),
    "watch_part": Broken,
    "disk_full": lambda: MachineProbe(
        statvfs=lambda _: os.statvfs_result((1, 1, 10**9, 10**8, 10**8, 0, 0, 0, 0, 255))
    ),
}


def restarts(desk: Watched) -> None:
    shown = engine("RUNNING", pid=os.getpid())
    desk.watch._probes = {"engine": shown}
    for number in range(4):
        started = program("RUNNING", pid=os.getpid(), start_s=1_000 + number)
        shown.shown["programs"] = {"engine": started}
        desk.turn(60, every=20)


def lock(desk: Watched) -> None:
    desk.turn(2)
    holder = sqlite3.connect(desk.state, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    desk.watch._probes = {"state": StateProbe()}
    desk.turn(3)
    holder.close()


def garbage(desk: Watched) -> None:
    desk.turn(2)
    desk.watch._probes = {"state": StateProbe()}
    desk.state.unlink()
    desk.state.write_bytes(b"garbage" * 1_000)
    desk.turn(3)


def gone(desk: Watched) -> None:
    desk.turn(2)
    desk.watch._probes = {"state": StateProbe()}
    desk.state.unlink()
    desk.turn(3)


def ended(desk: Watched) -> None:
    desk.turn(2)
    desk.again(3)
    desk.turn(3)


def log_full(desk: Watched) -> None:
    desk.turn(2)
    connection = desk.watch._log.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    desk.raise_("kill", "x" * 60_000)
    desk.turn(30)


def bad_settings(desk: Watched) -> None:
    desk.turn(2)
    with sqlite3.connect(desk.state) as connection:
        connection.execute("UPDATE settings SET version = version + 1, body = '{\"alerts\": 7}'")
    connection.close()
    desk.turn(3)


def refusing(desk: Watched) -> None:
    desk.add_channel("third", url=f"http://127.0.0.1:{free_port()}/hook")
    desk.settle({"rules": {"third": {"channels": ["third"], "severity_min": "info"}}})
    desk.raise_("kill")
    desk.turn(2 * MINUTE, every=5)


def unreached(desk: Watched) -> None:
    desk.add_channel("switch", "dead_mans_switch", url=f"http://127.0.0.1:{free_port()}/ping")
    desk.turn(4 * MINUTE, every=10)


def jump(desk: Watched) -> None:
    wall = {"ns": NOON_NS}
    desk.watch._probes = {"machine": MachineProbe(WallClock(lambda: wall["ns"], lambda: 0))}
    desk.turn(2)
    wall["ns"] += 3_600 * SECOND_NS
    desk.turn(3)


def short(desk: Watched) -> None:
    file = desk.home / "meminfo"
    file.write_text("MemTotal: 8000000 kB\nMemAvailable: 100000 kB\n")
    desk.watch._probes = {"machine": MachineProbe(memory=file)}
    desk.turn(40)


ACTS: dict[str, Callable[[Watched], None]] = {
    "engine_restarting": restarts,
    "watch_restarted": ended,
    "state_locked": lock,
    "state_unreadable": garbage,
    "state_missing": gone,
    "watch_log": log_full,
    "alert_settings": bad_settings,
    "channel_failing": refusing,
    "ping_failing": unreached,
    "clock_jump": jump,
    "memory": short,
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", [row.name for row in watched.ROWS])
def test_trouble_of_programs_machine_and_watch_arrives(
    name: str, tmp_path: Path, reached: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    booted_ns = NOON_NS - (60 if name == "engine_not_started" else 10**6) * SECOND_NS
    monkeypatch.setattr(engine_probe, "boot_ns", lambda: booted_ns)
    desk = Watched(tmp_path / "home", Inline())
    reached.add_to(desk)
    if name in PROBES:
        desk.watch._probes = {"one": PROBES[name]()}
        desk.turn(130, every=5)
    else:
        ACTS[name](desk)
    reached.arrived(name)
    desk.watch.stop(desk.now_ns)
