import json

import pytest

from engine.feeds.counts import FeedCounts
from engine.feeds.references.sources import ReferenceCore

BINANCE = {"e": "trade", "s": "BTCUSDT", "p": "76584.81000000", "q": "1", "T": 1777428651069}
COINBASE = {
    "type": "ticker",
    "product_id": "BTC-USD",
    "price": "76590.1",
    "time": "2026-04-29T02:10:52.233043Z",
}
CHAINLINK = {
    "topic": "crypto_prices_chainlink",
    "type": "update",
    "timestamp": 1777428655679,
    "payload": {
        "symbol": "btc/usd",
        "timestamp": 1777428654000,
        "value": 76568.78,
        "full_accuracy_value": "76568780000000000000000",
    },
}


def backlog(symbol="btc/usd"):
    points = [{"timestamp": 1_777_428_600_000 + t, "value": 76000 + t / 8} for t in (3, 5, 4)]
    payload = {"symbol": symbol, "data": points}
    return {"topic": "crypto_prices", "type": "subscribe", "timestamp": 9, "payload": payload}


def take(source, *frames):
    core = ReferenceCore(FeedCounts())
    events = [event for frame in frames for event in core.receive(source, encode(frame), 0)]
    return [(event.key, event.price_e8, event.exchange_ns) for event in events], core.counts


def encode(frame):
    return frame if isinstance(frame, bytes) else json.dumps(frame).encode()


@pytest.mark.parametrize("frame", [BINANCE, {"stream": "btcusdt@trade", "data": BINANCE}])
def test_binance_trade(frame):
    events, _ = take("binance", frame)
    assert events == [("binance:btcusdt", 7_658_481_000_000, 1_777_428_651_069_000_000)]


def test_an_hours_open_is_told_under_the_time_it_began():
    candle = {"t": 1777428000000, "s": "BTCUSDT", "i": "1h", "o": "76500.5", "c": "1", "x": False}
    frame = {"e": "kline", "E": 1777428651069, "s": "BTCUSDT", "k": candle}
    events, _ = take("binance", {"stream": "btcusdt@kline_1h", "data": frame}, frame)
    assert events == 2 * [("binance-open1h:btcusdt", 7_650_050_000_000, 1_777_428_000_000_000_000)]
    wrong, counts = take("binance", frame | {"k": candle | {"i": "5m"}})
    assert wrong == []
    assert any("unknown candle" in name for name in counts.anomalies)


def test_coinbase_ticker():
    events, _ = take("coinbase", {"type": "subscriptions", "channels": []}, COINBASE)
    assert events == [("coinbase:btc-usd", 7_659_010_000_000, 1_777_428_652_233_043_000)]


def test_chainlink_counts_eighteen_decimals():
    events, _ = take("rtds", CHAINLINK)
    assert events == [("chainlink:btc/usd", 7_656_878_000_000, 1_777_428_654_000_000_000)]


def test_chainlink_price_finer_than_ours_is_rounded_exactly():
    payload = CHAINLINK["payload"] | {"full_accuracy_value": "63304200301195075000000"}
    events, _ = take("rtds", CHAINLINK | {"payload": payload})
    assert events[0][1] == 6_330_420_030_120  # …0301195075 is nearer to 30120 than to 30119


def test_rtds_binance_is_another_key_than_binance():
    payload = {
        "symbol": "BTCUSDT",
        "timestamp": 1_777_428_654_005,
        "full_accuracy_value": "61035.86000000",
    }
    events, _ = take("rtds", {"topic": "crypto_prices", "type": "update", "payload": payload})
    assert events == [("rtds-binance:btcusdt", 6_103_586_000_000, 1_777_428_654_005_000_000)]


def test_backlog_tells_its_newest_point_under_its_true_name():
    events, _ = take("rtds", backlog())
    assert events == [("chainlink:btc/usd", 7_600_062_500_000, 1_777_428_600_005_000_000)]


def test_backlog_older_than_the_last_update_is_not_told():
    events, counts = take("rtds", CHAINLINK, backlog())
    assert len(events) == 1
    assert counts.out_of_order == 1


def test_pyth_price_has_its_own_exponent():
    quote = {"price": "7679586159102", "expo": -8, "publish_time": 1777366986}
    frame = {"binary": {}, "parsed": [{"id": "E62D", "price": quote}]}
    events, _ = take("pyth", frame)
    assert events == [("pyth:e62d", 7_679_586_159_102, 1_777_366_986_000_000_000)]


@pytest.mark.parametrize(
    ("source", "frame", "kind"),
    [
        ("binance", b"{", "binance: broken json"),
        ("binance", b"[]", "binance: unexpected shape"),
        ("binance", BINANCE | {"e": "kline"}, "binance: unknown event type"),
        ("binance", BINANCE | {"p": "-1"}, "binance: price not a number"),
        ("binance", BINANCE | {"p": "0.00"}, "binance: price not above zero"),
        ("binance", BINANCE | {"T": 0}, "binance: time out of range"),
        ("binance", BINANCE | {"T": 1_795_575_000_456_789}, "binance: time out of range"),
        ("binance", BINANCE | {"p": "9" * 30}, "binance: price out of range"),
        ("coinbase", COINBASE | {"time": "2026-04-29T02:10:52.²Z"}, "coinbase: time not readable"),
        ("binance", BINANCE | {"s": ""}, "binance: no symbol"),
        ("coinbase", COINBASE | {"type": "error"}, "coinbase: unknown event type"),
        ("coinbase", COINBASE | {"time": ""}, "coinbase: time not readable"),
        ("rtds", CHAINLINK | {"topic": "comments"}, "rtds: unknown topic"),
        ("pyth", {"parsed": 1}, "pyth: unexpected shape"),
        ("nowhere", b"{}", "unknown source 'nowhere'"),
    ],
)
def test_frame_that_is_no_price_is_counted_and_never_guessed(source, frame, kind):
    events, counts = take(source, frame)
    assert events == []
    assert counts.anomalies == {kind: 1}


@pytest.mark.parametrize("text", [b"", b" \n", b"PONG"])
def test_keepalive_text_is_nothing(text):
    events, counts = take("rtds", text)
    assert events == []
    assert not counts.anomalies
