"""KILL from beside: a credential and a venue, nothing else.

`BareProof` cancels at one account's venue and lists until nothing is shown twice; it needs no
executor, so it also covers accounts that an engine knows and does not trade. `end_bare` is a KILL
where no engine recovers: every account that any source names is ended from beside, and the receipt
says NOT PROVEN with what refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal

import msgspec

from engine.clock import WallClock
from engine.config import Config
from engine.domain.instruments import Mode
from engine.domain.settings import AccountSettings
from engine.errors import AuthRefused, PitbossError
from engine.executor.executor import Executor
from engine.live.proof import ProofRun, inventory, unaskable_text
from engine.live.venue_sweep import RETRY_S, VenueSweep
from engine.live.venues import Venues, venues_of
from engine.runtime.venue_plugin import AccountOpening
from storage.commands import KILL_PROOF, AccountProof, Receipt, keep_receipt, many
from storage.database import connect_writer, storage_errors, transaction
from storage.known_accounts import known_accounts
from storage.latch import read_latch, set_latch
from storage.schema import check_schema
from storage.users import ENGINE_ID

PATIENCE_S = 10.0
"""How long one account's venue may take before its connections are made anew, or it is given up."""

PAPER = Mode.PAPER
REST_S_MAX = 15.0
"""Longest pause before a venue that failed is asked again."""


class Everything(msgspec.Struct, kw_only=True):
    """Every account that any source names, and a sentence for each source that kept silent."""

    accounts: tuple[AccountSettings, ...]
    unread: tuple[str, ...]


class BareProof:
    """One account on its way to a proof, from beside. `opener` None = it cannot be asked from here.

    `executor` is what the journal knows of it; None = it was not read, or has no record of it.
    """

    def __init__(
        self,
        settings: AccountSettings,
        opener: AccountOpening | None,
        executor: Executor | None = None,
    ) -> None:
        self.settings = settings
        self._opener = opener
        self._executor = executor
        self._sweep = VenueSweep(executor)
        self._task: asyncio.Task[None] | None = None

    def unaskable(self) -> str:
        """Return why nothing can be asked before a person acts; empty = it can."""
        if self._opener is None:
            where = f"{self.settings.venue!r} ({self.settings.mode})"
            return f"no account of {where} can be asked here: look at its venue for open orders"
        return self._opener.unaskable(self.settings)

    @property
    def settled(self) -> bool:
        """True where the venue cannot be asked, and by the journal every order of it has ended."""
        live = 0 if self._executor is None else self._executor.open_and_unknown[0]
        return not live and bool(self.unaskable())

    def begin(self) -> None:
        """Cancel and list in the background, until it is proven or `over`."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def over(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def wait(self) -> None:
        self.begin()
        if self._task is not None and not self.unaskable():
            await asyncio.wait({self._task}, timeout=PATIENCE_S)
        self.over()
        await asyncio.gather(*filter(None, [self._task]), return_exceptions=True)

    async def _run(self) -> None:
        pause_s = RETRY_S
        while not self._sweep.clean:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._cancel_and_list()
            except Exception as error:  # noqa: BLE001 whatever it is, the others go on, and so does this
                self._sweep.failed(error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, REST_S_MAX)

    async def _cancel_and_list(self) -> None:
        """Cancel everything and list, until two complete listings in a row show nothing."""
        why = self.unaskable()
        if why or self._opener is None:
            raise AuthRefused(why)
        venue = await self._opener.venue(self.settings)
        if venue is None:
            self._sweep.nothing_left()
            return
        try:
            await self._sweep.run(venue)
        finally:
            await venue.close()

    def proof(self, _: int) -> AccountProof:
        sweep = self._sweep
        closed = self.unaskable()
        missing = sweep.missing(unaskable_text(closed) if closed else "")
        held = None if self._executor is None else self._executor.ledger.held
        return AccountProof(
            account=self.settings.name,
            mode=self.settings.mode,
            open_at_latch=len(sweep.cancelled) + (sweep.left or 0),
            cancelled=len(sweep.cancelled),
            not_cancelled=tuple(sweep.refused.items()),
            in_flight_waited_ms=0.0,
            listings=sweep.listings,
            unknown=0,
            live=sweep.left or 0,
            inventory=None if held is None else inventory(held.items()),
            foreign=sweep.foreign,
            missing=tuple(missing),
        )


# -- where no engine lives -------------------------------------------------------------------------


def everything(config: Config, venues: Venues) -> Everything:
    """Return every account that journal, tables, vault or environment name. Never raises."""
    known = known_accounts(config.journal_path, config.state_path)
    for held in venues.holders():
        known.add(*held)
    unread = [*known.unread, *venues.unread]
    accounts = []
    for name, places in known.places.items():
        placed = {place for place in places if place[0]} or places
        for venue, mode in sorted(placed):
            modes = [known for at, known in venues.openers if at == venue and known is not PAPER]
            if mode in set(Mode):
                modes = [Mode(mode)]
            elif mode or not modes:
                where = f"{venue or 'an unnamed venue'} ({mode or 'in some mode'})"
                unread.append(f"account {name!r} is recorded at {where}: check there, too")
            try:
                accounts += [AccountSettings(name=name, venue=venue, mode=one) for one in modes]
            except ValueError:
                unread.append(f"no account can be named {name!r}, and one is")
    return Everything(accounts=tuple(accounts), unread=tuple(dict.fromkeys(unread)))


def kill_requested(config: Config) -> bool:
    """Say whether a KILL is set or was signalled; a signal not received yet sets it.

    A latch that cannot be looked at counts: cancelling is what errs least. Never raises.
    """
    with contextlib.suppress(OSError):  # it is cancelled all the same; the receipt says it
        if signal.SIGUSR1 in signal.sigpending():
            set_latch(config.kill_path, "signal", WallClock().now_ns())
            return True
    try:
        return read_latch(config.kill_path) is not None
    except OSError:
        return True


async def end_bare(config: Config, url: str, refused: str, venues: Venues | None = None) -> Receipt:
    """Cancel everything that any source names from beside, and give the receipt: NOT PROVEN.

    It is said and, where the state takes it, kept. `refused` is why no engine can recover. `venues`
    are those of this start, if it has them: they have the secrets. Raises ConfigError.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))  # held by a start
    venues = venues or venues_of(config, url, killed=True)
    known = everything(config, venues)
    proofs = [
        BareProof(one, venues.openers.get((one.venue, one.mode)))
        for one in known.accounts
        if one.mode is not PAPER  # paper has no venue outside
    ]
    await asyncio.gather(*(one.wait() for one in proofs))
    now_ns = WallClock().now_ns()
    latch, lacking = None, f"{config.kill_path} is NOT SET"
    try:
        latch = read_latch(config.kill_path)
    except OSError as error:
        lacking = f"{config.kill_path} cannot be read ({error})"
    at_ns = latch.at_ns if latch else now_ns
    run = ProofRun(
        name=f"kill-{at_ns}",
        who=(latch and latch.who) or "somebody, by hand",
        reason="KILL",
        latched_ns=at_ns,
        # Where two sources say two places of one account, both were asked.
        proofs={f"{one.settings.name} {number}": one for number, one in enumerate(proofs)},
        unread=(refused, *([] if latch else [lacking]), *known.unread),
    )
    receipt = run.receipt(now_ns)
    for one in receipt.accounts:
        theirs = f" of ours, {many(len(one.foreign), 'order')} of others" if one.foreign else ""
        how = "; ".join(one.missing) or f"cancelled; its venue lists no open order{theirs}"
        print(f"{one.account} ({one.mode}): {how}", flush=True)  # noqa: T201 the answer
    note = "" if _stored(config, receipt) else "; this receipt is not saved"
    print(receipt.sentence() + note, flush=True)  # noqa: T201 the answer
    return receipt


def _stored(config: Config, receipt: Receipt) -> bool:
    """Keep a receipt where the state takes it; say whether it did."""
    try:
        check_schema(config.state_path)
        connection = connect_writer(config.state_path)
        try:
            with storage_errors(config.state_path), transaction(connection):
                keep_receipt(connection, ENGINE_ID, KILL_PROOF, receipt)
        finally:
            connection.close()
    except Exception:  # noqa: BLE001 it is printed all the same
        return False
    return True


def error_text(error: Exception) -> str:
    if isinstance(error, PitbossError | OSError):
        return str(error) or type(error).__name__
    return f"recovery failed ({type(error).__name__}: {error})"
