"""Captures of sockets: trades of each venue as its own frames say them, one market at a time."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import BadInput
from engine.lab.formats.importing import ImportRequest, import_files, preview
from engine.lab.formats.numbers import parts_of, stamp_ns
from storage.datasets import DataKind, columns

Said = tuple[str, str, str, str, bool]
"""Symbol, time, price, size, whether the taker bought."""


def okx(frame: Any) -> Iterator[Said]:
    if frame.get("arg", {}).get("channel") == "trades":
        for one in frame.get("data", ()):
            yield one["instId"], one["ts"], one["px"], one["sz"], one["side"] == "buy"


def coinbase(frame: Any) -> Iterator[Said]:
    if frame["type"] == "match":
        maker_sold = frame["side"] == "sell"
        yield frame["product_id"], frame["time"], frame["price"], frame["size"], maker_sold


def kraken(frame: Any) -> Iterator[Said]:
    if isinstance(frame, list) and frame[-2] == "trade":
        for price, size, at, side, *_ in frame[1]:
            yield frame[-1], at, price, size, side == "b"


def bybit(frame: Any) -> Iterator[Said]:
    if frame.get("topic", "").startswith("trade."):
        for one in frame["data"]:
            at, size = one["trade_time_ms"], str(one["size"])
            yield one["symbol"], at, one["price"], size, one["side"] == "Buy"


def bitget(frame: Any) -> Iterator[Said]:
    if frame.get("action") == "update" and frame["arg"]["channel"] == "trade":
        for at, price, size, side in reversed(frame["data"]):
            yield frame["arg"]["instId"], at, price, size, side == "buy"


def gate(frame: Any) -> Iterator[Said]:
    if frame["channel"] == "spot.trades" and frame["event"] == "update":
        one = frame["result"]
        at = one["create_time_ms"]
        yield one["currency_pair"], at, one["price"], one["amount"], one["side"] == "buy"


def kucoin(frame: Any) -> Iterator[Said]:
    if frame.get("subject") == "trade.l3match":
        one = frame["data"]
        yield one["symbol"], one["time"], one["price"], one["size"], one["side"] == "buy"


def binance(frame: Any) -> Iterator[Said]:
    if frame["stream"].endswith("@aggTrade"):
        one = frame["data"]
        yield one["s"], "received", one["p"], one["q"], not one["m"]


@pytest.mark.parametrize(
    ("name", "said", "symbol"),
    [
        ("OKX.ws.1.0.gz", okx, "BTC-USDT"),
        ("COINBASE.ws.28.0.gz", coinbase, "SKL-BTC"),
        ("KRAKEN.ws.48.0.gz", kraken, "XMR/USD"),
        ("BYBIT.ws.25.0.gz", bybit, "BCHUSDT"),
        ("BITGET.ws.2.0.gz", bitget, "UNIUSDT"),
        ("GATEIO.ws.1.0.gz", gate, "DIS_USDT"),
        ("KUCOIN.ws.1.0.gz", kucoin, "BCHSV-USDT"),
        ("BINANCE_FUTURES.ws.1.0.gz", binance, "SUSHIUSDT"),
    ],
)
def test_trades_of_a_capture_are_those_its_frames_say(
    recordings: Path, tmp_path: Path, name: str, said: Callable[[Any], Iterator[Said]], symbol: str
) -> None:
    path = recordings / "crypto_ws_captures" / name
    with gzip.open(path, "rt") as file:
        lines = [line.partition(": ") for line in file if line.strip() and line[0] != "w"]
    expected = [
        (
            stamp_ns(received if at == "received" else at),
            parts_of(price, exact=True),
            parts_of(size, exact=False),
            1 if bought else -1,
        )
        for received, _, frame in lines
        for one, at, price, size, bought in said(json.loads(frame))
        if one == symbol
    ]
    request = ImportRequest(
        files=(path,), instrument="x:A/B", name="x", kind=DataKind.TRADES, only={"symbol": symbol}
    )
    import_files(request, tmp_path, 1, lambda *_: None)
    rows = [row[:4] for block in columns(tmp_path / "x") for row in zip(*block, strict=True)]
    assert expected
    assert rows == expected


def test_contracts_are_no_trades_of_a_pair(recordings: Path) -> None:
    path = recordings / "crypto_ws_captures" / "OKX.ws.1.0.gz"
    only = {"symbol": "UNI-USD-SWAP"}
    shown = preview(path, ImportRequest(files=(path,), instrument="x:A/B", only=only), 9)
    assert "no row has symbol=UNI-USD-SWAP" in shown.refused


TWO = (
    "wss://ws.kraken.com <-> 1652459224.5",
    'wss://ws.kraken.com <- 1652459224.9: {"event":"subscribe"}',
    '1652459225.5: [9,[["354.11","0.8","1652459225.4","s","l",""]],"trade","XMR/USD"]',
    '1652459225.6: [8,[["2.5","0.2","1652459225.5","b","l",""]],"trade","SC/EUR"]',
    "",
)


def shown_of(path: Path, *lines: str) -> tuple[list[tuple[int, ...]], str]:
    path.write_text("\n".join(lines), encoding="utf-8")
    request = ImportRequest(files=(path,), instrument="x:A/B", kind=DataKind.TRADES)
    shown = preview(path, request, 9)
    return shown.rows, shown.refused


def test_two_markets_of_a_capture_are_never_mixed(tmp_path: Path) -> None:
    rows, refused = shown_of(tmp_path / "KRAKEN.ws.1.0", *TWO)
    assert len(rows) == 1
    assert "line 4: is of another symbol, 'SC/EUR' and not 'XMR/USD'" in refused


def test_two_markets_of_a_stream_are_never_mixed(tmp_path: Path) -> None:
    trade = '1723161254087896568 {"stream":"%s@trade","data":{"t":%d,"p":"5.1","q":"2","m":true}}'
    rows, refused = shown_of(tmp_path / "two.txt", trade % ("btcusdt", 7), trade % ("ethusdt", 8))
    assert len(rows) == 1
    assert "line 2: is of another symbol, 'ETHUSDT' and not 'BTCUSDT'" in refused


@pytest.mark.parametrize("torn", ["1652459225.7: [9,[[", "1652459225", "[1]"])
def test_a_torn_line_of_a_capture_is_refused(tmp_path: Path, torn: str) -> None:
    try:
        _, refused = shown_of(tmp_path / "KRAKEN.ws.1.0", *TWO[:3], torn)
    except BadInput as error:
        refused = str(error)
    assert refused.startswith("KRAKEN.ws.1.0, line 4: ")
