"""A hand-made recording of five-minute markets, its hashes by five lines of our own."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.strategies.market_maker.parameters import EAGER

START = 1_776_081_600
WINDOW_S = 300
QUOTING = {
    **{name: str(value) for name, value in EAGER.items()},
    "sigma_warm_s": "0",
    "sigma_sample_ms_min": "0",
    "width_vol_multiplier": "0",
    "trend_width_multiplier": "1",
    "event_jump_ticks": "0",
    "hysteresis_ticks": "0.5",
    "stop_before_close_s": "5",
}
"""Parameters with which a market maker quotes a tick from the middle from its second frame on."""


def book_hash(frame: dict[str, object], last: str) -> str:
    """The venue's checksum, spelled out with the standard library."""
    keys = ("market", "asset_id", "timestamp", "hash", "bids", "asks")
    text = {**{key: frame[key] for key in keys}, "hash": "", "min_order_size": "5"}
    text |= {"tick_size": "0.01", "neg_risk": False, "last_trade_price": last}
    return hashlib.sha1(json.dumps(text, separators=(",", ":")).encode()).hexdigest()


class Market:
    """One window: each frame is a trade that takes from a touch, and the book it leaves behind."""

    def __init__(self, number: int, *, depth: int = 3) -> None:
        self.start = START + number * WINDOW_S
        self.condition = f"0x{number + 1:064x}"
        self.token = str(7 * 10**76 + number)
        self.chance = random.Random(number)
        self.depth = depth
        self.middle = 50
        """Cents; the touches are two cents away from it."""
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.fill_up()

    def fill_up(self) -> None:
        """Have something rest at every level again."""
        for step in range(2, 2 + self.depth):
            self.bids.setdefault(self.middle - step, 300)
            self.asks.setdefault(self.middle + step, 300)

    def trade(self) -> int:
        """Let somebody take from one side; return the price in cents."""
        selling = self.chance.random() < 0.5
        side = self.bids if selling else self.asks
        price = max(side) if selling else min(side)
        side[price] -= min(side[price], self.chance.randrange(5, 80))
        if not side[price]:
            del side[price]
            self.middle = min(80, max(20, self.middle + (-1 if selling else 1)))
            self.bids = {p: s for p, s in self.bids.items() if p <= self.middle - 2}
            self.asks = {p: s for p, s in self.asks.items() if p >= self.middle + 2}
            self.fill_up()
        return price

    def lines(self, at_s: list[float]) -> Iterator[bytes]:
        """Yield one line per time in seconds after the window's start."""
        for number, at in enumerate(at_s):
            last = 50 if number == 0 else self.trade()
            frame: dict[str, object] = {
                "market": self.condition,
                "asset_id": self.token,
                "timestamp": str(round((self.start + at) * 1000)),
                "hash": "",
                "bids": [{"price": f"0.{p}", "size": str(s)} for p, s in sorted(self.bids.items())],
                "asks": [
                    {"price": f"0.{p}", "size": str(s)}
                    for p, s in sorted(self.asks.items(), reverse=True)
                ],
                "event_type": "book",
            }
            text = f"0.{last}0"
            frame["hash"] = book_hash(frame, text)
            if number == 0:
                frame |= {"tick_size": "0.01", "last_trade_price": text}
            slug = f"btc-updown-5m-{self.start}"
            line = {"recv_ts": self.start + at + 0.02, "slug": slug, "raw": frame}
            yield json.dumps(line, separators=(",", ":")).encode()


def write_recording(
    path: Path, *, markets: int = 2, frames: int = 300, step_s: float = 0.5
) -> Path:
    """Write so many windows one after another, each with so many frames."""
    times = [1 + number * step_s for number in range(frames)]
    lines = [line for number in range(markets) for line in Market(number).lines(times)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.fixture(scope="session")
def make_recording(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return what writes a recording into a folder of its own."""

    def make(**shape: float) -> Path:
        return write_recording(tmp_path_factory.mktemp("tape") / "2026-04-13.jsonl", **shape)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def tape(make_recording: Callable[..., Path]) -> Path:
    """Return a recording of two windows in which a market maker quotes and is filled."""
    return make_recording()


@pytest.fixture(scope="session")
def quoting() -> dict[str, str]:
    """Return parameters with which a market maker quotes it."""
    return QUOTING
