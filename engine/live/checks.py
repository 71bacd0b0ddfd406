"""What is watched while the desk trades: the identity of equity, and the free space of its disks.

Each minute every account's ledger is compared with its journal.

The loop reads the ledger and the number of the journal's last record in one go; the projector's
thread sums the journal's side when the projections stand at exactly that record. A difference seen
twice is alarmed with both sides. Nothing is repaired: a person must know first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.domain.effects import RaiseAlert, Severity
from engine.domain.instruments import AccountId, Kind, Leg
from engine.executor.executor import Executor
from engine.executor.fills import mid_value_micro
from engine.live.engine import Engine
from storage.database import reading
from storage.equity_identity import EquityCheck, LedgerSide, judge, put_check

S = 1_000_000_000
CHECK_EVERY_NS = 60 * S
AGAIN_NS = 2 * S
"""When a difference is looked at again: what two threads hear at different moments passes by."""

DIFFERS = "equity_differs"


def ledger_side(executor: Executor, *, at_ns: int, seq: int) -> LedgerSide:
    """Return what an account's ledger says now, after the journal's record `seq`."""
    state = executor.ledger.state
    marks = {key: mark for key in executor.ledger.held if (mark := executor.mark(key)) is not None}
    inventory = 0
    tokens: dict[tuple[str, Leg], int] = {}
    for key, held in executor.ledger.held.items():
        terms = state.instruments[key]
        inventory += mid_value_micro(held, terms, marks.get(key))
        first = Leg.YES if terms.kind is Kind.BINARY else Leg.BASE
        for leg, size in ((first, held.yes.total), (Leg.NO, held.no.total)):
            if size:
                tokens[key, leg] = size
    return LedgerSide(
        account=executor.account,
        mode=executor.mode,
        currency=executor.currency,
        at_ns=at_ns,
        seq=seq,
        cash_micro=state.cash_settled_micro,
        pending_micro=state.cash_pending_micro,
        redeemable_micro=state.redeemable_micro,
        redeemed_micro=state.redeemed_micro,
        inventory_micro=inventory,
        equity_micro=executor.equity_mid_micro(at_ns),
        tokens=tokens,
        marks={str(key): mark.mid2 for key, mark in marks.items() if mark.mid2 is not None},
    )


class TruthWatch:
    """Asks for checks and hears what they found."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._due_ns = 0
        self._suspect: set[str] = set()
        """Accounts whose last check found a difference."""

    def watch(self, _: int) -> None:
        """Ask for a check where one is due, on the loop's thread."""
        engine, now_ns = self._engine, self._engine.wall_ns()
        if now_ns < self._due_ns:
            return
        seq = engine.recorder.seq
        executors = [runner.desk.executor for runner in engine.runners.values()]
        sides = [ledger_side(one, at_ns=now_ns, seq=seq) for one in executors if not one.recovering]
        if sides and engine.projector.at(seq, lambda: self._check(sides)):
            self._due_ns = now_ns + CHECK_EVERY_NS

    def _check(self, sides: Sequence[LedgerSide]) -> None:
        """Judge every account; the projections stand at the sides' record."""
        engine = self._engine
        with reading(engine.config.state_path) as connection:
            checks = [judge(connection, engine.engine_id, side) for side in sides]
        for check in checks:
            engine.state.write(lambda c, one=check: put_check(c, engine.engine_id, one))  # type: ignore[misc]
            self._heard(check)

    def _heard(self, check: EquityCheck) -> None:
        """Take what was found, on the projector's thread; twice the same is alarmed."""
        engine = self._engine
        account = check.ledger.account
        if not check.differs:
            self._suspect.discard(account)
        elif account in self._suspect:
            alert = RaiseAlert(
                severity=Severity.CRITICAL,
                kind=DIFFERS,
                text=f"the identity of equity is broken: {check.text}. Nothing was repaired",
                account=AccountId(account),
            )
            soon = engine.ended.get_loop().call_soon_threadsafe
            soon(engine.alert, alert, engine.wall_ns())
        else:
            self._suspect.add(account)
            self._due_ns = check.ledger.at_ns + AGAIN_NS


# -- free space: told early, and nothing new is asked for before the disk is full ------------------

DISK = "disk"
"""Health source and kind of alert."""

LOOK_EVERY_NS = 10 * S
FREE_TOLD = ((0.05, Severity.CRITICAL), (0.20, Severity.WARNING))
"""Shares of free space below which a person hears of it, the worst first."""

FREE_MIN = 0.02
"""Below it no new order is placed; cancels and KILL go on, and what is open is looked after."""

FREE_AGAIN = 0.01
"""By how much more must be free before a level counts as left: no alert at every file."""

StatVfs = Callable[[Path], os.statvfs_result]


class DiskWatch:
    """Looks at the disks the desk writes to. `statvfs` is the system's question."""

    def __init__(self, engine: Engine, folders: Sequence[Path], statvfs: StatVfs = os.statvfs):
        self._engine = engine
        self._folders = folders
        self._statvfs = statvfs
        self._look_ns = 0
        self._told = 1.0
        """The level told last; 1 = none."""
        self._full = False

    def watch(self, now_ns: int) -> None:
        """Look once in a while, tell a level that was passed, and forbid or allow placing."""
        if now_ns < self._look_ns:
            return
        self._look_ns = now_ns + LOOK_EVERY_NS
        try:
            share, folder, free = min(self._free(folder) for folder in self._folders)
        except OSError as error:
            self._engine.health(DISK, f"nobody can say how much space is free: {error}")
            return
        left = f"{free / 1e9:,.2f} GB ({100 * share:.1f} %) are free at {folder}"
        self._full = share < FREE_MIN + FREE_AGAIN * self._full
        self._engine.health(DISK, f"{left}: make room; cancels and KILL go on" * self._full)
        if share >= self._told + FREE_AGAIN:
            self._told = 1.0
        for level, severity in FREE_TOLD:
            if share < level < self._told:
                self._told = level
                text = f"{left}: make room; below {100 * FREE_MIN:.0f} % no new order is placed"
                self._engine.alert(RaiseAlert(severity=severity, kind=DISK, text=text), now_ns)
                break

    def _free(self, folder: Path) -> tuple[float, Path, int]:
        """Return the share that is free where a folder lies, the folder, and bytes. OSError."""
        found = self._statvfs(folder)
        return found.f_bavail / max(1, found.f_blocks), folder, found.f_bavail * found.f_frsize
