"""Every decoder of what a venue, a file or a person wrote: events that can be kept, or one error.

Seeded; short in the suite, 100,000 inputs a door behind soak.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from engine.config import load
from engine.domain.instruments import AccountId
from engine.domain.orders import Identity, OrderId
from engine.domain.settings import SettingsDocument
from engine.errors import BadInput, ConfigError, NotSent, OutcomeUnknown
from engine.feeds.counts import FeedCounts
from engine.feeds.references.sources import ReferenceCore
from engine.gateway.door import Named
from engine.lab.recordings.door import read_outcomes
from engine.lab.recordings.open import open_recording
from engine.venues.demo import wire
from engine.venues.polymarket.account import outcomes
from engine.venues.polymarket.account.listings import clob_rows, data_rows
from engine.venues.polymarket.account.orders import (
    AccountMemory,
    Exchanges,
    TradableMarket,
    market_of,
)
from engine.venues.polymarket.account.rows import (
    Payments,
    RowReader,
    balance_micro,
    holdings,
    incomes,
    listed_fills,
    order_reports,
    unnamed_orders,
)
from engine.venues.polymarket.account.user_stream import UserFrames
from engine.venues.polymarket.market.core import MarketFeedCore
from engine.venues.polymarket.market.listing import confirmed, from_gamma
from engine.venues.polymarket.market.rest import _json, listed
from tests.fakes.polymarket.listing import Listed, identify, instrument_of
from tests.outside.nasty import mangled, mangled_bytes

SHORT, LONG = 400, 100_000
INSTRUMENT = instrument_of(identify(Listed(slug="rows"), 7, 1))
YES, NO = INSTRUMENT.tokens or ("", "")
CONDITION = INSTRUMENT.id.partition(":")[2]
OURS, THEIRS, KEY = "0x" + "ab" * 32, "0x" + "cd" * 32, "key-of-ours"
NOW_NS = 1_795_575_000 * 10**9
STAMP = "1795575000123"
ACCOUNT = AccountId("real")

keep = msgspec.msgpack.Encoder().encode
"""What the journal and the tape do with whatever a decoder gives."""


def reader() -> RowReader:
    memory = AccountMemory()
    memory.add(TradableMarket(instrument=INSTRUMENT, separator=b""))
    memory.name(Identity(OURS), OrderId(7))
    return RowReader(account=ACCOUNT, key=KEY, memory=memory)


ORDER = {
    "id": OURS, "status": "LIVE", "owner": KEY, "market": CONDITION, "asset_id": NO, "side": "SELL",
    "original_size": "100", "size_matched": "25.5", "price": "0.505", "outcome": "No",
    "expiration": None, "order_type": "GTC", "created_at": 1_795_575_000,
}  # fmt: skip
TRADE = {
    "id": "28c4d2eb", "taker_order_id": OURS, "market": CONDITION, "asset_id": NO, "side": "BUY",
    "size": "40", "price": "0.45", "status": "TRADE_STATUS_CONFIRMED", "match_time": "1795575000",
    "maker_orders": [
        {"order_id": THEIRS, "matched_amount": "15", "price": "0.55", "asset_id": YES},
        {"order_id": THEIRS, "matched_amount": "25", "price": "0.45", "asset_id": NO},
    ],
}  # fmt: skip
STRANGE = TRADE | {"taker_order_id": THEIRS, "owner": KEY, "trader_side": "TAKER"}
ACTIVITY = {
    "type": "REDEEM", "transaction_hash": "0x1", "condition_id": CONDITION, "usdc_size": 10.5,
    "size": "3", "timestamp": 1_795_575_000, "is_combo": False,
}  # fmt: skip
LEVELS = [{"price": "0.47", "size": "50"}, {"price": "0.48", "size": "300"}]
BOOK = {
    "event_type": "book", "market": CONDITION, "asset_id": YES, "timestamp": STAMP, "hash": "aa",
    "bids": LEVELS, "asks": [{"price": "0.53", "size": "20.5"}], "tick_size": "0.01",
    "last_trade_price": "0.480", "min_order_size": "5", "neg_risk": False,
}  # fmt: skip
CHANGE = {
    "market": CONDITION, "timestamp": STAMP, "price_changes": [
        {"asset_id": YES, "price": "0.48", "size": "9", "side": "BUY", "hash": "aa",
         "best_bid": "0.48", "best_ask": "0.53"},
    ], "event_type": "price_change",
}  # fmt: skip
PRINT = {
    "event_type": "last_trade_price", "market": CONDITION, "asset_id": YES, "price": "0.51",
    "size": "5", "side": "BUY", "fee_rate_bps": "0", "timestamp": STAMP,
}  # fmt: skip
TICK = {
    "event_type": "tick_size_change", "market": CONDITION, "asset_id": YES, "timestamp": STAMP,
    "old_tick_size": "0.01", "new_tick_size": "0.001",
}  # fmt: skip
NEWS = {
    "event_type": "new_market", "market": "0x9", "slug": "btc-updown-5m-1795575000",
    "assets_ids": ["1", "2"], "outcomes": ["Up", "Down"], "timestamp": STAMP, "fees_enabled": True,
    "order_price_min_tick_size": "0.01", "version": "v1",
    "fee_schedule": {"exponent": "1", "rate": "0.07", "taker_only": True, "rebate_rate": "0.2"},
}  # fmt: skip
OVER = {
    "event_type": "market_resolved", "market": CONDITION, "winning_asset_id": YES,
    "timestamp": STAMP,
}  # fmt: skip
GAMMA = {
    "conditionId": CONDITION, "slug": "btc-updown-5m-1795575000", "question": "?",
    "outcomes": '["Up", "Down"]', "clobTokenIds": json.dumps([YES, NO]), "version": "v1",
    "orderPriceMinTickSize": 0.01, "orderMinSize": 5, "active": True, "closed": False,
    "enableOrderBook": True, "acceptingOrders": True, "endDate": "2026-11-25T12:00:00Z",
    "eventStartTime": "2026-11-25T11:00:00Z", "negRisk": True, "negRiskMarketID": "0x5",
    "feesEnabled": True, "feeSchedule": {"rate": 0.07, "exponent": 1, "rebateRate": 0.2},
    "secondsDelay": 3, "rewardsMinSize": 50, "rewardsMaxSpread": 4.5, "volume24hr": "12.5",
    "clobRewards": [{"rewardsDailyRate": 5, "startDate": "2026-01-01", "endDate": "2500-01-01"}],
    "events": [{"id": "7", "title": "t"}], "outcomePrices": '["1", "0"]', "bestBid": 0.4,
    "umaResolutionStatus": "proposed",
}  # fmt: skip
TERMS = {
    "c": CONDITION, "t": [{"t": YES, "o": "Yes"}, {"t": NO, "o": "No"}], "mos": 5, "mts": 0.01,
    "tbf": 1000, "ao": True, "nr": False, "oas": 0, "fd": {"r": 0.05, "e": 1, "to": True},
    "r": {"mi": 50, "ma": 4.5, "e": True, "moas": 0}, "v": "v1", "itode": True,
}  # fmt: skip
REFERENCES = {
    "binance": {"data": {"e": "trade", "s": "BTCUSDT", "p": "61800.30", "T": 1_795_575_000_123}},
    "coinbase": {"type": "ticker", "product_id": "BTC-USD", "price": "1.5",
                 "time": "2026-11-25T02:10:52.233043Z"},
    "rtds": {"topic": "crypto_prices", "payload": {"symbol": "btc/usd", "data": [
        {"timestamp": 1_795_575_000_123, "value": 76_000.5}]}},
    "polybolt": {"channel": "price.crypto", "payload": {
        "symbol": "btcusd", "timestamp": 1_795_575_000_123, "value": 76_568.78,
        "full_accuracy_value": "76568780000000000000000", "window_seconds": 30}},
    "pyth": {"parsed": [{"id": "E62D", "price": {
        "price": "7679586159102", "expo": -8, "publish_time": 1_795_575_000}}]},
}  # fmt: skip
POSTED = {
    "success": True, "errorMsg": "", "orderID": OURS, "status": "live", "makingAmount": "",
    "takingAmount": "", "tradeIDs": [],
}  # fmt: skip
SETTINGS = json.loads(SettingsDocument().model_dump_json())
FAILS = (BadInput, ConfigError, NotSent, OutcomeUnknown)


# -- the doors -------------------------------------------------------------------------------------


def market(rng: Random) -> Callable[[], object]:
    core = MarketFeedCore(FeedCounts())
    core.watch(INSTRUMENT, "0.01")
    samples = (BOOK, CHANGE, PRINT, TICK, NEWS, OVER, [BOOK, CHANGE])

    def once() -> object:
        events = core.receive(mangled_bytes(rng.choice(samples), rng), NOW_NS)
        if core.watched(INSTRUMENT.id) is None or rng.random() < 0.01:
            core.unwatch(INSTRUMENT.id)
            core.watch(INSTRUMENT, "0.01")
        return [events, core.advance(NOW_NS + rng.randrange(10**9))]

    return once


def user(rng: Random) -> Callable[[], object]:
    frames = UserFrames(reader())
    trade = {**TRADE, "event_type": "trade", "type": "TRADE", "timestamp": STAMP}
    order = {**ORDER, "event_type": "order", "type": "PLACEMENT", "timestamp": STAMP}
    return lambda: frames.read(mangled_bytes(rng.choice((trade, order, [trade, order])), rng))


def rows(rng: Random) -> Callable[[], object]:
    """Open orders, trades, positions, activity, income, a balance: whatever holds rows."""
    one = reader()
    held = {"token_id": NO, "condition_id": CONDITION, "outcome_index": 1, "current_size": "2"}

    def once() -> object:
        paid = Payments(ACCOUNT, 0)
        paid.read([mangled(ACTIVITY, rng), mangled({**ACTIVITY, "type": "SPLIT"}, rng)])
        reward = {**ACTIVITY, "type": "REWARD"}
        return [
            order_reports([mangled(ORDER, rng), mangled(ORDER, rng)], one),
            listed_fills([mangled(TRADE, rng), mangled(TRADE, rng)], one),
            unnamed_orders([mangled(STRANGE, rng), mangled(STRANGE, rng)], one),
            holdings([mangled(held, rng)], one),
            (paid.redemptions, paid.conversions, paid.unread),
            incomes([mangled(reward, rng), mangled(reward, rng)], ACCOUNT, "pUSD"),
        ]

    return once


class Answers:
    """A wire that answers whatever it is given."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.left = 3

    async def get(self, _path: str, **_query: object) -> object:
        page = {"data": [ORDER], "next_cursor": "LTE=", "limit": 100, "count": 1}
        return mangled(page, self.rng)

    async def get_data(self, _path: str, **_query: object) -> object:
        page = {"data": [ACTIVITY], "pagination": {"has_more": False, "next_cursor": None}}
        return mangled(page, self.rng)


def pages(rng: Random) -> Callable[[], object]:
    wire_: Any = Answers(rng)

    def once() -> object:
        call = rng.choice((clob_rows, data_rows))(wire_, "/x")
        try:
            call.send(None)  # nothing in it waits
        except StopIteration as answer:
            return len(answer.value)
        raise AssertionError("the wire of this test never waits")

    return once


def answers(rng: Random) -> Callable[[], object]:
    named = Named(order=OrderId(7), identity=Identity(OURS))
    exchanges = Exchanges(standard="0x" + "1" * 40, neg_risk="0x" + "2" * 40, v3="0x" + "3" * 40)
    cancelled = {"canceled": [OURS], "not_canceled": {THEIRS: "no"}}

    def once() -> object:
        match rng.randrange(4):
            case 0:
                return outcomes.placed(ACCOUNT, named, mangled(POSTED, rng))
            case 1:
                return outcomes.cancelled(ACCOUNT, [named], mangled(cancelled, rng))
            case 2:
                return balance_micro(mangled({"balance": "1000", "allowances": {}}, rng))
        return market_of(INSTRUMENT, mangled(TERMS, rng), exchanges).neg_risk

    return once


def relayer(rng: Random) -> Callable[[], object]:
    from engine.venues.polymarket.account.operations import _state

    body = {
        "transaction_id": "1",
        "transaction_hash": "0x1",
        "state": "STATE_MINED",
        "error_msg": "",
    }
    return lambda: _state(mangled(body, rng), "transaction_id", "transaction_hash")


def gamma(rng: Random) -> Callable[[], object]:
    sound = from_gamma(GAMMA, NOW_NS)

    def once() -> object:
        match rng.randrange(3):
            case 0:
                return listed(_json(mangled_bytes(GAMMA, rng)), NOW_NS)
            case 1:
                return from_gamma(_json(mangled_bytes(GAMMA, rng)), NOW_NS)
        return confirmed(sound, _json(mangled_bytes(TERMS, rng)))

    return once


def references(rng: Random) -> Callable[[], object]:
    core = ReferenceCore(FeedCounts())

    def once() -> object:
        source = rng.choice(tuple(REFERENCES))
        return core.receive(source, mangled_bytes(REFERENCES[source], rng), NOW_NS)

    return once


def demo(rng: Random) -> Callable[[], object]:
    frame = {"at_ns": 1, "events": [{"type": "FeedLost", "feed": "x", "instrument": None,
                                     "reason": "r"}]}  # fmt: skip

    def once() -> object:
        try:
            raw = wire.pack(mangled(frame, rng))
        except (OverflowError, UnicodeEncodeError):
            raw = b"\xc1"
        raw = raw[: rng.randrange(len(raw) + 1)] if rng.random() < 0.2 else raw
        raw = b"\x91" * 20_000 if rng.random() < 0.01 else raw
        unpack = (wire.unpack_market, wire.unpack_user, wire.unpack_events, wire.unpack_refusal)
        return rng.choice(unpack)(raw)  # type: ignore[operator]

    return once


def recordings(rng: Random, folder: Path) -> Callable[[], object]:
    raw = {**BOOK, "hash": "a" * 40}
    book = {"recv_ts": 1_795_575_000.5, "slug": "btc-updown-5m-1795575000", "raw": raw}
    feed = {
        "run_id": "r", "source": "polymarket_clob", "recv_wall_ts": 1_795_575_000_123,
        "recv_mono_ns": 5, "ingest_seq": 1_000_000, "payload": json.dumps(BOOK),
    }  # fmt: skip
    market_row = {
        "condition_id": CONDITION,
        "slug": "s",
        "token_ids": [YES, NO],
        "start_ts": 1,
        "end_ts": 2,
    }

    def once() -> object:
        if rng.random() < 0.5:
            path = folder / "day.jsonl"
            lines = [book, *(mangled(book, rng) for _ in range(AT_ONCE["recordings"]))]
        else:
            path = folder / "a.raw_messages.jsonl"
            (folder / "a.markets.jsonl").write_bytes(mangled_bytes(market_row, rng) + b"\n")
            lines = [feed, *(mangled(feed, rng) for _ in range(AT_ONCE["recordings"]))]
        path.write_bytes(b"".join(json.dumps(one).encode() + b"\n" for one in lines))
        return [event for _, event in open_recording(path).events()]

    return once


def outcome_files(rng: Random, folder: Path) -> Callable[[], object]:
    path = folder / "o.csv"

    def once() -> object:
        cells = [",".join(map(str, mangled(["a", "1"], rng))) for _ in range(2)]
        path.write_bytes(("market,paid\n" + "\n".join(cells)).encode("utf-8", "surrogatepass"))
        return read_outcomes(path)

    return once


def dot_env(rng: Random, folder: Path) -> Callable[[], object]:
    path = folder / ".env"
    keys = ("PITBOSS_HOME", "PITBOSS_DISK_BUDGET", "PITBOSS_DASHBOARD_PORT", "PITBOSS_LOG_LEVEL")

    def once() -> object:
        value = str(mangled({"v": "1"}, rng)).encode("utf-8", "surrogatepass")
        sign = rng.choice((b"=", b": ", b" ", b"==", b"='", b"\x00"))
        path.write_bytes(rng.choice(keys).encode() + sign + value + b"\n")
        load(file=path, environment={})
        return None

    return once


def settings(rng: Random) -> Callable[[], object]:
    def once() -> object:
        try:
            SettingsDocument.model_validate_json(mangled_bytes(SETTINGS, rng))
        except ValueError:  # pydantic's own, which every reader of settings names
            return None
        return None

    return once


IN_MEMORY = {
    "market": market, "user": user, "rows": rows, "pages": pages, "answers": answers,
    "relayer": relayer, "gamma": gamma, "references": references, "demo": demo,
    "settings": settings,
}  # fmt: skip
IN_FILES = {"recordings": recordings, "outcomes": outcome_files, "env": dot_env}
AT_ONCE = {"recordings": 20, "outcomes": 2}
"""How many inputs, lines of one file, a call of a door has; one where it is not named."""


def fuzz(name: str, folder: Path, seed: int, count: int) -> tuple[int, int]:
    """Give a door so many inputs; return how many calls read theirs and how many refused."""
    rng = Random(f"{name}/{seed}")
    once = IN_MEMORY[name](rng) if name in IN_MEMORY else IN_FILES[name](rng, folder)
    read = refused = 0
    for number in range(count // AT_ONCE.get(name, 1)):
        try:
            keep(once())
            read += 1
        except FAILS:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{name}: call {number} of seed {seed}: {error!r}") from error
    return read, refused


@pytest.mark.parametrize("name", [*IN_MEMORY, *IN_FILES])
def test_a_door_gives_what_can_be_kept_or_its_own_error(name: str, tmp_path: Path) -> None:
    read, _ = fuzz(name, tmp_path, 1, SHORT)
    assert read


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", [*IN_MEMORY, *IN_FILES])
def test_a_door_holds_for_long(name: str, tmp_path: Path) -> None:
    read, refused = fuzz(name, tmp_path, 2, LONG)
    print(f"{name}: {LONG:,} inputs, {read:,} calls read theirs, {refused:,} refused")
