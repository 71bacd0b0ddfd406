"""KILL is received whatever the loop does; a receipt says PROVEN only for what was shown."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from engine.clock import WallClock
from engine.domain.commands import MANUAL
from engine.domain.events import CancelRefused, OrderCancelled
from engine.domain.instruments import AccountId, BotId, InstrumentId, Mode
from engine.domain.orders import OrderId
from engine.executor.fills import Holding, LegHolding
from engine.live.kill import HUNG, KillWatch, Mark, latch_after_death, rewind_hang_timer
from engine.live.proof import CancelProof, ProofRun
from storage.latch import read_latch, set_latch
from tests.live.programs import LONG_S

REPOSITORY = Path(__file__).resolve().parents[2]
ACCOUNT = AccountId("demo")

PROGRAM = """
import signal, sys, threading, time
from pathlib import Path
if sys.argv[2] == "stranger":
    # A library's thread, older than the block: it is given the signal first.
    threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
from engine.clock import WallClock
from engine.live import kill as live_kill
from engine.live.kill import KillWatch, block_signal

block_signal()
taken = []
watch = KillWatch(Path(sys.argv[1]), marks=Path(sys.argv[1]).parent, clock=WallClock(),
                  take=lambda latch: taken.append(latch), orphaned=lambda: None,
                  hung=lambda text: print(text, flush=True))
if sys.argv[2] in ("deaf", "stopped"):
    live_kill.HUNG_S = 0.5
    live_kill.rewind_hang_timer(watch.hung_mark)
print("ready", flush=True)
if sys.argv[2] == "deaf":
    import re
    re.match("(a+)+$", "a" * 64 + "b")  # never gives the interpreter's lock away
while sys.argv[2] == "stopped" and not taken:
    time.sleep(0.1)
    live_kill.rewind_hang_timer(watch.hung_mark)
if sys.argv[2] == "no timer":
    def no_thread(*_, **__):
        raise RuntimeError("unable to start watchdog thread")
    live_kill.faulthandler.dump_traceback_later = no_thread
    live_kill.WIND_S = 0.0
    watch.loop_turns()
    time.sleep(0.2)
if sys.argv[2] == "hangs":
    watch.loop_turns()
    while True:
        pass
if sys.argv[2] == "sleeps":
    watch.loop_turns()
    time.sleep(60)
if sys.argv[2] == "busy":  # for longer than a step may take, and with a step now and then
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        watch.loop_turns()
        for _ in range(10_000):
            pass
if sys.argv[2] == "starts":  # a start is one long step
    until = time.process_time() + 1.0
    while time.process_time() < until:
        pass
while not taken:
    time.sleep(0.001)
watch.taken.set()
print(f"taken {taken[0].who}", flush=True)  # in one piece: another thread reports meanwhile
time.sleep(1.0)
"""


def blocked_now() -> bool:
    return signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_BLOCK, set())


@pytest.mark.parametrize("open_before", [True, False])
def test_the_hang_timer_begins_deaf_to_the_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_before: bool
) -> None:
    """A thread of the C library that takes SIGUSR1 writes nothing: the KILL would be lost."""
    seen: list[bool] = []
    mark = Mark(tmp_path / "deaf")
    monkeypatch.setattr(
        "faulthandler.dump_traceback_later", lambda *_, **__: seen.append(blocked_now())
    )
    how = signal.SIG_UNBLOCK if open_before else signal.SIG_BLOCK
    kept = signal.pthread_sigmask(how, {signal.SIGUSR1})
    try:
        rewind_hang_timer(mark)
        assert seen == [True]
        assert blocked_now() is not open_before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)
        mark._file.close()


def started(path: Path, how: str) -> subprocess.Popen[str]:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), how],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


@pytest.mark.long
def test_a_disk_that_cannot_be_asked_for_a_while_does_not_end_the_looking(tmp_path: Path) -> None:
    home, real = tmp_path / "home", tmp_path / "real"
    real.mkdir()
    (real / "KILL").touch()
    home.symlink_to("x" * 300)  # any question about it is refused: no name may be so long
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(home / "KILL"), ""],
        cwd=REPOSITORY, stdout=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        assert program.stdout is not None
        assert "no spare of the latch could be made" in program.stdout.readline()
        assert "does not outlive this process" in program.stdout.readline()
        assert program.stdout.readline() == "ready\n"
        home.unlink()
        home.symlink_to(real)
        assert program.stdout.readline() == "taken \n"
        assert program.wait(150) == 0


@pytest.mark.long
def test_signal_ends_an_engine_whose_loop_hangs(tmp_path: Path) -> None:
    program = started(tmp_path / "KILL", "hangs")
    program.send_signal(signal.SIGUSR1)
    out, _ = program.communicate(timeout=LONG_S)
    assert program.returncode == HUNG
    assert "did not take the KILL latch within 0.5 s of its own" in out
    latch = read_latch(tmp_path / "KILL")
    assert latch is not None
    assert latch.who == "signal"


def test_signal_ends_an_engine_whose_loop_sleeps(tmp_path: Path) -> None:
    program = started(tmp_path / "KILL", "sleeps")
    program.send_signal(signal.SIGUSR1)
    program.communicate(timeout=LONG_S)
    assert program.returncode == HUNG


@pytest.mark.long
@pytest.mark.parametrize("how", ["busy", "starts"])
def test_loop_that_is_busy_takes_a_kill_and_is_not_ended(tmp_path: Path, how: str) -> None:
    """Beyond the half second that one step may hang: many steps, and a start before any."""
    program = started(tmp_path / "KILL", how)
    program.send_signal(signal.SIGUSR1)
    out, _ = program.communicate(timeout=LONG_S)
    assert program.returncode == 0, out
    assert "taken signal" in out


@pytest.mark.long
def test_signal_outlives_a_loop_that_holds_the_interpreter(tmp_path: Path) -> None:
    program = started(tmp_path / "KILL", "deaf")
    program.send_signal(signal.SIGUSR1)
    program.communicate(timeout=LONG_S)
    assert program.returncode == 1, (
        "the timer ended it; no thread of Python had received the signal"
    )
    assert not (tmp_path / "KILL").exists()
    said = latch_after_death(tmp_path, tmp_path / "KILL", 7)
    latch = read_latch(tmp_path / "KILL")
    assert latch is not None
    assert latch.who.startswith("signal")
    assert "Timeout" in said
    assert "in match" in said, "it says where it hung"


@pytest.mark.sampled(1)
@pytest.mark.parametrize("_", range(3))
def test_signal_outlives_an_engine_that_was_stopped_for_longer_than_the_timer(
    tmp_path: Path, _: int
) -> None:
    program = started(tmp_path / "KILL", "stopped")
    program.send_signal(signal.SIGSTOP)
    program.send_signal(signal.SIGUSR1)
    time.sleep(0.8)  # the timer runs while nothing of the process does
    program.send_signal(signal.SIGCONT)
    program.communicate(timeout=LONG_S)
    # Which comes first after the stop, the timer or the signal, is the kernel's to say.
    assert program.returncode in (0, 1, HUNG)
    latch_after_death(tmp_path, tmp_path / "KILL", 7)
    assert (tmp_path / "KILL").exists()


@pytest.mark.long
def test_signal_is_received_where_no_mark_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "signalled").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "KILL"), "lives"],
        cwd=REPOSITORY, stdout=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        assert program.stdout is not None
        assert "does not outlive this process" in program.stdout.readline()
        assert program.stdout.readline() == "ready\n"
        program.send_signal(signal.SIGUSR1)
        assert program.stdout.readline() == "taken signal\n"


@pytest.mark.long
def test_life_that_ended_well_leaves_no_mark(tmp_path: Path) -> None:
    program = started(tmp_path / "KILL", "lives")
    program.send_signal(signal.SIGUSR1)
    program.communicate(timeout=LONG_S)
    (tmp_path / "KILL").unlink()
    assert latch_after_death(tmp_path, tmp_path / "KILL", 7) == ""
    assert not (tmp_path / "KILL").exists()


CLOSING = """
import asyncio, sys, threading
from pathlib import Path
from engine.config import Config
from engine.live import kill, main

async def life():
    asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    print("over", flush=True)

kill.CLOSES_S = 0.5
config = Config(home=Path(sys.argv[1]))
main.run_held(config, main.engine_lock(config, 0.0), life)
"""


@pytest.mark.long
def test_loop_that_never_closes_ends_its_process_and_says_where(tmp_path: Path) -> None:
    """Its lock would keep the next engine out for as long as it hangs."""
    program = subprocess.run(
        [sys.executable, "-c", CLOSING, str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert (program.returncode, program.stdout) == (1, "over\n")
    assert "Timeout (0:00:00.5" in program.stderr
    assert "in wait" in program.stderr


@pytest.mark.long
def test_signal_is_taken_by_a_healthy_loop(tmp_path: Path) -> None:
    program = started(tmp_path / "KILL", "lives")
    program.send_signal(signal.SIGUSR1)
    out, _ = program.communicate(timeout=LONG_S)
    assert (program.returncode, out) == (0, "taken signal\n")
    assert read_latch(tmp_path / "KILL") is not None


@pytest.mark.long
def test_a_timer_that_cannot_be_made_does_not_end_the_thread_that_receives_kill(
    tmp_path: Path,
) -> None:
    program = started(tmp_path / "KILL", "no timer")
    program.send_signal(signal.SIGUSR1)
    out, _ = program.communicate(timeout=LONG_S)
    assert program.returncode == 0, out
    assert "is not wound: unable to start" in out
    assert "taken signal" in out


def test_signal_is_of_whom_the_latch_names(tmp_path: Path) -> None:
    """As the dashboard does it: the latch with a name first, then the signal."""
    program = started(tmp_path / "KILL", "lives")
    set_latch(tmp_path / "KILL", "operator", 7)
    program.send_signal(signal.SIGUSR1)
    out, _ = program.communicate(timeout=LONG_S)
    assert (program.returncode, out) == (0, "taken operator\n")


@pytest.mark.long
def test_signal_given_to_a_librarys_thread_is_handed_on(tmp_path: Path) -> None:
    program = started(tmp_path / "KILL", "stranger")
    program.send_signal(signal.SIGUSR1)
    out, _ = program.communicate(timeout=LONG_S)
    assert (program.returncode, out) == (0, "taken signal\n")


def test_latch_set_by_hand_counts_like_the_signal(tmp_path: Path) -> None:
    program = started(tmp_path / "KILL", "lives")
    (tmp_path / "KILL").touch()
    out, _ = program.communicate(timeout=LONG_S)
    assert (program.returncode, out) == (0, "taken \n")


def test_a_newer_watch_ends_the_thread_of_the_one_before(tmp_path: Path) -> None:
    """The signal goes to the newest alone: an older one would look for nothing, for ever."""

    def begun() -> threading.Thread:
        before = set(threading.enumerate())
        KillWatch(
            tmp_path / "KILL", marks=tmp_path, clock=WallClock(),
            take=lambda _: None, orphaned=lambda: None, hung=lambda _: None,
        )  # fmt: skip
        (thread,) = set(threading.enumerate()) - before
        return thread

    older, newer = begun(), begun()
    older.join(LONG_S)
    assert not older.is_alive()
    assert newer.is_alive()


class Venue:
    """An executor's and a gateway's readings, as a test sets them."""

    def __init__(self) -> None:
        self.account = ACCOUNT
        self.mode = Mode.DEMO
        self.open_and_unknown = (2, 1)
        self.places_in_flight = 1
        self.zero: Any = None
        self.ledger = self
        self.held: dict[str, Any] = {}

    def proven(self, _: object) -> Any:
        return self.zero

    def owner(self, _: InstrumentId) -> BotId | None:
        return None


class Proof:
    listings = 2
    foreign = ()


def proving(venue: Venue) -> ProofRun:
    proof = CancelProof(venue, venue, began_ns=0)  # type: ignore[arg-type]
    return ProofRun(name="kill-1", who="me", reason="KILL", latched_ns=0, proofs={"demo": proof})


def test_receipt_names_everything_that_is_missing() -> None:
    receipt = proving(Venue()).receipt(5_000_000)
    assert not receipt.proven
    assert len(receipt.accounts[0].missing) == 4
    assert receipt.sentence().startswith("NOT PROVEN: demo: 1 place in flight")


def test_receipt_is_proven_when_nothing_is_missing() -> None:
    venue = Venue()
    made = proving(venue)
    made.proofs["demo"].receive(OrderCancelled(account=ACCOUNT, order=OrderId(1)))
    refused = CancelRefused(account=ACCOUNT, order=OrderId(2), venue_text="matched")
    made.proofs["demo"].receive(refused)
    assert not made.receipt(1_000_000).proven
    venue.places_in_flight = 0
    venue.open_and_unknown = (0, 0)
    venue.zero = Proof()
    receipt = made.receipt(7_000_000)
    assert receipt.proven
    account = receipt.accounts[0]
    assert account.cancelled == 1
    assert account.not_cancelled == ((2, "matched"),)
    assert account.in_flight_waited_ms == 7.0
    assert receipt.sentence().startswith("PROVEN: nothing of ours is open at 1 account;")


def test_unfinished_house_keeps_a_receipt_from_being_proven() -> None:
    venue = Venue()
    venue.places_in_flight, venue.open_and_unknown, venue.zero = 0, (0, 0), Proof()
    made = proving(venue)
    made.unread = ("the vault is locked",)
    assert not made.receipt(1).proven


def test_receipt_is_in_vain_only_where_every_lacking_account_waits_for_a_person() -> None:
    locked, other = Venue(), Venue()
    made = proving(locked)
    made.proofs["demo"].unaskable = lambda: "its vault is locked"
    other.account = AccountId("other")
    made.proofs["other"] = CancelProof(other, other, began_ns=0)  # type: ignore[arg-type]
    receipt = made.receipt(1)
    assert "its vault is locked; orders of an earlier run may rest there" in receipt.sentence()
    assert not made.needs_operator(receipt), "the other one may still be proven"
    other.places_in_flight, other.open_and_unknown, other.zero = 0, (0, 0), Proof()
    assert made.needs_operator(made.receipt(2))
    nobody = ProofRun(name="kill-1", who="me", reason="KILL", latched_ns=0, proofs={})
    assert not nobody.needs_operator(nobody.receipt(2))
    nobody.unread = ("account real is closed",)
    assert nobody.needs_operator(nobody.receipt(2))
    made.proofs["demo"].unaskable = str
    assert not made.needs_operator(made.receipt(3)), "its vault is open"


class Parts(Venue):
    """A venue with the readings of its parts: whose what it holds is."""

    def __init__(self) -> None:
        super().__init__()
        self.owners = {"demo:one": BotId("maker"), "demo:two": MANUAL, "demo:three": BotId("maker")}
        names = ("demo:one", "demo:two", "demo:three", "demo:four")
        self.held = {name: Holding(instrument=InstrumentId(name)) for name in names}

    def owned(self, instrument: InstrumentId, owner: BotId) -> Holding:
        held = 1 if self.owners.get(instrument) == owner else 0
        return Holding(instrument=instrument, yes=LegHolding(settled=held))

    def live_in(self, _: object) -> list[object]:
        return []

    def proven(self, _: object) -> Any:
        return Proof()


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        (BotId("maker"), ["demo:one", "demo:three"]),
        (MANUAL, ["demo:two"]),
        (InstrumentId("demo:four"), ["demo:four"]),
        (None, ["demo:one", "demo:two", "demo:three", "demo:four"]),
    ],
)
def test_receipt_of_a_part_names_the_inventory_that_remains_there(
    scope: Any, left: list[str]
) -> None:
    venue: Any = Parts()
    proof = CancelProof(venue, venue, began_ns=0, scope=scope)
    assert [key for key, *_ in proof.proof(1).inventory] == left
