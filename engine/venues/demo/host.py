"""The demo exchange with a memory of its own: a state file, and a log of inputs since.

A folder holds `state-<n>` (the whole exchange) and `log-<n>` (every input since, each written
before its answer leaves). Opening loads the latest state, does the log again, and lets the downtime
pass as a restart of the venue: no order trades, none is taken, then it opens. What customers have
received is therefore never taken back, however the program ended.
"""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path
from random import Random
from zlib import crc32

import msgspec
import zstandard

from engine.domain.effects import AnyWalletEffect, CancelScope
from engine.domain.events import VenueEvent, VenueMode
from engine.domain.instruments import AccountId
from engine.domain.orders import OrderId
from engine.errors import AuthRefused, BadInput, StorageError, VenueClosed
from engine.venues.demo.answers import Answers
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import KEY, Ticket
from engine.venues.demo.profiles import Profile
from engine.venues.demo.snapshot import encode_state, of_older_form
from engine.venues.demo.timeline import Stamped
from engine.venues.demo.world import open_world, reopen_world

# -- Everything that may come from outside, as records that can be done again ----------------------
# The exchange is deterministic: the same state and the same inputs at the same moments give the
# same fills. So what customers received survives a crash of the host if every input is kept before
# its answer leaves, and so is the moment up to which they received it (`Reached`).

CURRENCY = "pUSD"


class ExchangeInput(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base: something at a moment."""

    at_ns: int


class Reached(ExchangeInput, frozen=True, kw_only=True):
    """Customers received what happened up to here."""


class AccountOpened(ExchangeInput, frozen=True, kw_only=True):
    """A customer opened an account."""

    account: AccountId
    cash_micro: int


class TicketHandedIn(ExchangeInput, frozen=True, kw_only=True):
    """A customer placed an order."""

    account: AccountId
    order: OrderId
    ticket: Ticket


class CancelsAsked(ExchangeInput, frozen=True, kw_only=True):
    """A customer cancelled orders."""

    account: AccountId
    orders: tuple[OrderId, ...]


class CancelAllAsked(ExchangeInput, frozen=True, kw_only=True):
    """A customer cancelled everything in scope."""

    account: AccountId
    scope: CancelScope


class Beaten(ExchangeInput, frozen=True, kw_only=True):
    """A customer's heartbeat."""

    account: AccountId


class WalletAsked(ExchangeInput, frozen=True, kw_only=True):
    """A customer had its wallet do something."""

    account: AccountId
    operation: AnyWalletEffect


class ModePut(ExchangeInput, frozen=True, kw_only=True):
    """The host changed what the exchange takes."""

    mode: VenueMode


AnyExchangeInput = (
    Reached
    | AccountOpened
    | TicketHandedIn
    | CancelsAsked
    | CancelAllAsked
    | Beaten
    | WalletAsked
    | ModePut
)


class Inputs:
    """Does inputs at an exchange, the first time and every further time alike."""

    def __init__(self, exchange: DemoExchange) -> None:
        self._exchange = exchange
        self._answers: dict[AccountId, Answers] = {}

    def answers(self, account: AccountId) -> Answers:
        """Return an account's door. Raises AuthRefused where there is none."""
        found = self._answers.get(account)
        if found is None:
            self._exchange.account(account)
            found = self._answers[account] = Answers(
                self._exchange, account, key=KEY, currency=CURRENCY
            )
        return found

    def do(self, given: AnyExchangeInput) -> list[VenueEvent]:
        """Let time pass to the input's moment, do it, and return what is answered.

        Raises VenueClosed and AuthRefused; then it had no effect.
        """
        exchange, at_ns = self._exchange, given.at_ns
        if at_ns > exchange.now_ns:
            exchange.advance(at_ns)
        match given:
            case TicketHandedIn():
                answers = self.answers(given.account)
                return answers.hand_in(given.ticket, given.order, at_ns)
            case CancelsAsked():
                return self.answers(given.account).cancel(given.orders, at_ns)
            case CancelAllAsked():
                return self.answers(given.account).cancel_all(given.scope, at_ns)
            case WalletAsked():
                return self.answers(given.account).operate(given.operation, at_ns)
            case AccountOpened():
                if given.account not in exchange.order_entry.accounts:
                    exchange.open_account(given.account, given.cash_micro)
            case Beaten():
                self._heartbeat(given)
            case ModePut():
                exchange.guard.switch(given.mode)
            case Reached():
                pass
        return []

    def _heartbeat(self, given: Beaten) -> None:
        known = self._exchange.account(given.account).beats.get(KEY)
        token = "" if known is None else known[0]
        self._exchange.heartbeat(given.account, KEY, token, given.at_ns)

    def redo(self, given: AnyExchangeInput) -> None:
        """Do an input of an earlier run; what was refused then is refused now."""
        try:
            self.do(given)
        except VenueClosed:
            return


# -- The host --------------------------------------------------------------------------------------

S = 1_000_000_000
GAP_NS = 5 * S
"""A shorter downtime is nothing a customer would notice: trading simply goes on."""
ROLL_BYTES = 4 * 1024 * 1024
ROLL_NS = 120 * S
"""A start does so much of the log again at most: some seconds of work."""

STATE_BYTES_MAX = 256 * 1024 * 1024
STATES_KEPT = 2
_HEAD = struct.Struct("<II")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AnyExchangeInput).decode


class DemoHost:
    """One exchange and its folder. Call `do` with inputs, `advance` as time passes."""

    def __init__(self, folder: Path, profile: Profile, *, seed: int, now_ns: int) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._number = max(self._numbers("state"), default=0)
        self._log = -1
        self._log_bytes = 0
        self._reached_ns = now_ns
        if self._number:
            self.exchange = self._reopen(profile, now_ns)
        else:
            self.exchange = open_world(profile, rng=Random(seed), now_ns=now_ns)  # noqa: S311 - a model
            self._inputs = Inputs(self.exchange)
        self.roll()

    # -- beginning ---------------------------------------------------------------------------------

    def _numbers(self, kind: str) -> list[int]:
        return [
            int(path.name.removeprefix(f"{kind}-"))
            for path in self._folder.glob(f"{kind}-*")
            if path.name.removeprefix(f"{kind}-").isdecimal()
        ]

    def _reopen(self, profile: Profile, now_ns: int) -> DemoExchange:
        path = self._folder / f"state-{self._number}"
        found = path.read_bytes()
        if len(found) < 4 or crc32(found[4:]) != int.from_bytes(found[:4], "little"):
            raise StorageError(f"{path} is damaged; move the folder away, a new world is begun")
        try:
            body = _unpacked(found[4:])
            if len(body) == len(found) - 4 or of_older_form(body):  # not compressed, or with less
                self._keep_a_copy()
            exchange = reopen_world(profile, body)
        except (BadInput, zstandard.ZstdError) as error:
            raise StorageError(f"{path}: {error}; move the folder away to start over") from error
        exchange.outbox.publishing = False  # whoever connects receives everything anyway
        self._inputs = Inputs(exchange)
        for given in self._logged():
            self._inputs.redo(given)
        if now_ns - exchange.now_ns > GAP_NS:
            self._inputs.do(ModePut(at_ns=exchange.now_ns, mode=VenueMode.RESTARTING))
            self._inputs.do(ModePut(at_ns=now_ns, mode=VenueMode.OPEN))
        elif exchange.guard.mode is VenueMode.RESTARTING:
            self._inputs.do(ModePut(at_ns=max(now_ns, exchange.now_ns), mode=VenueMode.OPEN))
        exchange.begin_new()  # after the log: fills are numbered as customers received them
        self._drop_reports(exchange)
        exchange.outbox.publishing = True
        return exchange

    def _keep_a_copy(self) -> None:
        """Copy what an older version wrote: here it is written anew, and that one reads no more."""
        try:
            for kind in ("state", "log"):
                path = self._folder / f"{kind}-{self._number}"
                if path.exists():
                    shutil.copy2(path, path.with_name(f"was-{path.name}"))
        except OSError as error:
            raise StorageError(f"no copy of {self._folder} can be kept: {error}") from error

    @staticmethod
    def _drop_reports(exchange: DemoExchange) -> None:
        """Forget what no customer was connected to receive: customers ask when they come back."""
        exchange.take_public()
        for account in exchange.outbox.reports:
            exchange.take(account)

    def _logged(self) -> list[AnyExchangeInput]:
        path = self._folder / f"log-{self._number}"
        data = path.read_bytes() if path.exists() else b""
        found: list[AnyExchangeInput] = []
        at = 0
        while at + _HEAD.size <= len(data):
            size, checksum = _HEAD.unpack_from(data, at)
            body = data[at + _HEAD.size : at + _HEAD.size + size]
            if len(body) < size or crc32(body) != checksum:
                break  # the last one was not finished: its answer never left
            found.append(_decode(body))
            at += _HEAD.size + size
        return found

    # -- living ------------------------------------------------------------------------------------

    def do(self, given: AnyExchangeInput) -> list[VenueEvent]:
        """Keep an input, do it, return what is answered. Raises VenueClosed, AuthRefused."""
        account = getattr(given, "account", None)
        if account is not None and not isinstance(given, AccountOpened):
            self._check(account)
        self._append(given)
        return self._inputs.do(given)

    def moment(self, now_ns: int) -> int:
        """Return `now_ns`, or the exchange's moment where the clock was set back."""
        return max(now_ns, self.exchange.now_ns)

    def log_reached(self, now_ns: int) -> None:
        """Log that customers receive what happened up to now; call before a question's answer."""
        if now_ns > self._reached_ns:
            self._append(Reached(at_ns=now_ns))

    def advance(self, now_ns: int) -> tuple[list[Stamped], dict[AccountId, list[VenueEvent]]]:
        """Let time pass; return public events, and what each account must receive."""
        exchange = self.exchange
        if now_ns > exchange.now_ns:
            exchange.advance(now_ns)
        received: dict[AccountId, list[VenueEvent]] = {}
        for account, waiting in exchange.outbox.reports.items():
            if waiting:
                answers = self._inputs.answers(account)
                reported = [answers.received(report) for _, report in exchange.take(account)]
                events = [event for event in reported if event is not None]
                if events:
                    received[account] = events
        if received or now_ns - self._reached_ns >= S:
            self.log_reached(exchange.now_ns)
        if self._log_bytes >= ROLL_BYTES or now_ns - self._rolled_ns >= ROLL_NS:
            public = exchange.take_public()
            self.roll()
            return public, received
        return exchange.take_public(), received

    def answers_of(self, account: AccountId, now_ns: int) -> Inputs:
        """Prepare to answer a question of an account. Raises AuthRefused where it has none."""
        self._check(account)
        if now_ns > self.exchange.now_ns:
            self.exchange.advance(now_ns)
        self.log_reached(now_ns)
        return self._inputs

    def _check(self, account: AccountId) -> None:
        if account not in self.exchange.order_entry.accounts:
            raise AuthRefused(f"{account} has no account at the demo exchange")

    # -- the folder --------------------------------------------------------------------------------

    def _append(self, given: AnyExchangeInput) -> None:
        body = _encode(given)
        record = _HEAD.pack(len(body), crc32(body)) + body
        # One write without a buffer: it survives the death of this program.
        if os.write(self._log, record) != len(record):
            raise StorageError(f"{self._folder} takes no more: free some space")
        self._log_bytes += len(record)
        self._reached_ns = max(self._reached_ns, given.at_ns)

    def roll(self) -> None:
        """Write the whole exchange and begin a new log. Raises StorageError."""
        number = self._number + 1
        path = self._folder / f"state-{number}"
        beside = path.with_name(f"{path.name}.tmp")
        body = zstandard.compress(encode_state(self.exchange), 1)
        try:
            file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.write(file, crc32(body).to_bytes(4, "little") + body)
                os.fsync(file)
            finally:
                os.close(file)
            log = os.open(
                self._folder / f"log-{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600
            )
            beside.replace(path)
        except OSError as error:
            raise StorageError(f"the demo exchange cannot write {path}: {error}") from error
        if self._log >= 0:
            os.close(self._log)
        self._log, self._log_bytes, self._number = log, 0, number
        self._rolled_ns = self._reached_ns = self.exchange.now_ns
        for kind in ("state", "log"):
            for old in self._numbers(kind):
                if old <= number - STATES_KEPT:
                    (self._folder / f"{kind}-{old}").unlink(missing_ok=True)

    def close(self) -> None:
        self.roll()
        os.close(self._log)
        self._log = -1


def _unpacked(body: bytes) -> bytes:
    """Return a state's bytes; one that an older version wrote is not compressed."""
    if not body.startswith(zstandard.FRAME_HEADER):
        return body
    return zstandard.decompress(body, max_output_size=STATE_BYTES_MAX)
