"""Hand-made frames with hashes of their own: the five lines below know nothing of the product."""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

CONDITION = "0x" + "ab" * 32
YES = "7" * 77
NO = "8" * 77
START = 1_776_081_600
SLUG = f"btc-updown-5m-{START}"


def book_hash(frame: dict[str, object], tick: str, last: str) -> str:
    """The venue's checksum, spelled out with the standard library."""
    keys = ("market", "asset_id", "timestamp", "hash", "bids", "asks")
    text = {**{key: frame[key] for key in keys}, "hash": "", "min_order_size": "5"}
    text |= {"tick_size": tick, "neg_risk": False, "last_trade_price": last}
    return hashlib.sha1(json.dumps(text, separators=(",", ":")).encode()).hexdigest()


class Frames:
    """Makes lines of a book-only recording. Times in seconds after the window's start."""

    condition, yes, no, start, slug = CONDITION, YES, NO, START, SLUG
    book_hash = staticmethod(book_hash)

    def book(
        self,
        at: float,
        bids: Iterable[tuple[str, str]],
        asks: Iterable[tuple[str, str]],
        *,
        last: str = "0.500",
        tick: str = "0.01",
        token: str = YES,
        snapshot: bool = False,
    ) -> dict[str, object]:
        frame: dict[str, object] = {
            "market": CONDITION,
            "asset_id": token,
            "timestamp": str(round((START + at) * 1000)),
            "hash": "",
            "bids": [{"price": p, "size": s} for p, s in bids],
            "asks": [{"price": p, "size": s} for p, s in asks],
            "event_type": "book",
        }
        frame["hash"] = book_hash(frame, tick, last)
        if snapshot:
            frame |= {"tick_size": tick, "last_trade_price": last}
        return frame

    def line(self, frame: dict[str, object], late: float = 0.0) -> bytes:
        received = int(str(frame["timestamp"])) / 1000 + late
        line = {"recv_ts": received, "slug": SLUG, "raw": frame}
        return json.dumps(line, separators=(",", ":")).encode()


@pytest.fixture
def frames() -> Frames:
    return Frames()


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: bytes, name: str = "2026-04-13.jsonl.gz") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
        return path

    return write
