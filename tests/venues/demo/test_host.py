"""The exchange's memory: what customers were told is never taken back."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import msgspec
import pytest
import zstandard

from engine.domain.events import OrderAccepted, OrderRejected
from engine.domain.instruments import AccountId, InstrumentId, Leg, Side
from engine.domain.orders import Identity, OrderId
from engine.errors import AuthRefused, StorageError
from engine.venues.demo.host import (
    ROLL_NS,
    AccountOpened,
    Beaten,
    CancelAllAsked,
    DemoHost,
    TicketHandedIn,
)
from engine.venues.demo.orders import KEY, Ticket
from engine.venues.demo.profiles import THIN
from engine.venues.demo.snapshot import encode_state

S = 1_000_000_000
START = 1_760_000_100 * S
ANN = AccountId("ann")


def begin(folder: Path, now_ns: int = START) -> DemoHost:
    return DemoHost(folder, THIN, seed=3, now_ns=now_ns)


def hand_in(host: DemoHost, number: int, now_ns: int, **changes: object) -> object:
    market = next(iter(host.exchange.order_entry.markets.values()))
    ticket = Ticket(
        identity=Identity(f"demo-ann-{number}"),
        instrument=InstrumentId(market.instrument.id),
        leg=Leg.YES,
        side=Side.BUY,
        price=5_000,
        size=20_000_000,
        key=KEY,
    )
    asked = TicketHandedIn(at_ns=now_ns, account=ANN, order=OrderId(number), ticket=ticket)
    return host.do(asked)[0]


def crash(host: DemoHost) -> None:
    """End as kill -9 does: nothing more is written."""
    import os

    os.close(host._log)


def ledger(host: DemoHost) -> tuple[object, ...]:
    exchange = host.exchange
    fills, wallet = exchange.fills(ANN, 0), exchange.wallet(ANN)
    return (
        (wallet.cash, wallet.reserved, wallet.pending),
        exchange.positions(ANN),
        [(fill.id, fill.price, fill.size) for fill in fills],
    )


def test_crash_takes_nothing_back_that_was_told(tmp_path: Path) -> None:
    host = begin(tmp_path)
    host.do(AccountOpened(at_ns=START, account=ANN, cash_micro=1_000_000_000))
    now_ns = START
    for number in range(1, 40):
        now_ns += S // 3
        hand_in(host, number, now_ns)
        host.advance(now_ns)
    before = ledger(host)
    assert host.exchange.fills(ANN, 0)
    crash(host)
    again = begin(tmp_path, now_ns)
    assert ledger(again) == before
    assert isinstance(hand_in(again, 1, now_ns + 1), OrderRejected)  # the name is known
    assert not again.exchange.invariants().problems


def test_replayed_log_gives_the_very_same_exchange(tmp_path: Path) -> None:
    host = begin(tmp_path)
    host.do(AccountOpened(at_ns=START, account=ANN, cash_micro=1_000_000_000))
    host.do(Beaten(at_ns=START + S, account=ANN))
    for step in range(1, 200):
        host.advance(START + S + step * S // 10)
    host.log_reached(START + 30 * S)
    host.advance(START + 30 * S)
    expected = encode_state(host.exchange)
    crash(host)
    again = begin(tmp_path, START + 30 * S)
    again.exchange.outbox.published = host.exchange.outbox.published
    assert encode_state(again.exchange) == expected


def test_long_downtime_passes_as_a_restart_without_trades(tmp_path: Path) -> None:
    host = begin(tmp_path)
    host.do(AccountOpened(at_ns=START, account=ANN, cash_micro=1_000_000_000))
    host.do(Beaten(at_ns=START + 1, account=ANN))
    assert isinstance(hand_in(host, 1, START + 2), OrderAccepted | OrderRejected)
    trades = host.exchange.clearing.trade_count
    crash(host)
    again = begin(tmp_path, START + 600 * S)
    assert again.exchange.clearing.trade_count == trades
    assert not again.exchange.open_orders(ANN)  # its heartbeat had stopped
    again.advance(START + 630 * S)
    assert again.exchange.clearing.trade_count > trades


def test_unfinished_record_is_as_if_it_never_came(tmp_path: Path) -> None:
    host = begin(tmp_path)
    host.do(AccountOpened(at_ns=START, account=ANN, cash_micro=7))
    log = tmp_path / f"log-{host._number}"
    crash(host)
    log.write_bytes(log.read_bytes() + b"\x40\x00\x00\x00torn")
    again = begin(tmp_path)
    assert again.exchange.wallet(ANN).cash == 7


def test_files_stay_few(tmp_path: Path) -> None:
    host = begin(tmp_path)
    for step in range(1, 6):
        host.advance(START + step * (ROLL_NS + 1))
    assert len(list(tmp_path.iterdir())) == 4
    host.close()
    begin(tmp_path, START + 5 * ROLL_NS).close()


def test_a_state_is_compressed_and_one_that_was_not_is_read(tmp_path: Path) -> None:
    host = begin(tmp_path)
    host.do(AccountOpened(at_ns=START, account=ANN, cash_micro=7))
    host.close()
    path = tmp_path / f"state-{host._number}"
    whole = encode_state(host.exchange)
    assert path.stat().st_size < len(whole) * 2 / 3
    path.write_bytes(crc32(whole).to_bytes(4, "little") + whole)
    assert begin(tmp_path).exchange.wallet(ANN).cash == 7


def test_what_an_older_version_wrote_is_kept_beside_what_is_written_anew(tmp_path: Path) -> None:
    host = begin(tmp_path)
    host.do(AccountOpened(at_ns=START, account=ANN, cash_micro=7))
    host.close()
    name = f"state-{host._number}"
    kept = msgspec.msgpack.decode(encode_state(host.exchange))
    del kept["redeeming"], kept["redeem_count"]  # as before the wallets' operations
    older = zstandard.compress(msgspec.msgpack.encode(kept))
    older = crc32(older).to_bytes(4, "little") + older
    (tmp_path / name).write_bytes(older)
    again = begin(tmp_path)
    for step in range(1, 4):
        again.advance(START + step * (ROLL_NS + 1))
    again.close()
    assert not (tmp_path / name).exists()
    assert (tmp_path / f"was-{name}").read_bytes() == older
    assert begin(tmp_path, START + 5 * ROLL_NS).exchange.wallet(ANN).cash == 7
    assert len(list(tmp_path.glob("was-*"))) == 2  # of today's form no copy is kept


def test_damaged_state_is_refused_with_what_to_do(tmp_path: Path) -> None:
    host = begin(tmp_path)
    number = host._number
    host.close()
    path = tmp_path / f"state-{number + 1}"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageError, match="move the folder away"):
        begin(tmp_path)


def test_unknown_account_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    host = begin(tmp_path)
    from engine.domain.effects import CancelScope

    with pytest.raises(AuthRefused):
        host.do(CancelAllAsked(at_ns=START, account=ANN, scope=CancelScope()))
    host.close()
    begin(tmp_path).close()
