"""What an engine says of itself: every book, and nothing that stays as it was at the start."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec

from engine.caches.views import BookView
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind
from engine.domain.telemetry import EngineStatus
from engine.live.telemetry import LEVELS, books_of

MANY = 40


def view_of(name: str) -> BookView:
    instrument = Instrument(
        id=InstrumentId(name), kind=Kind.BINARY, currency="pUSD", price_decimals=4,
        size_decimals=6, tick=100, lot=10_000,
    )  # fmt: skip
    view = BookView(instrument)
    view.book.replace([(4_000 - level, 1 + level) for level in range(LEVELS + 3)], [])
    return view


def watching(account: str, names: list[str]) -> Any:
    views = {name: view_of(name) for name in names}
    runner = SimpleNamespace(
        account=AccountId(account), desk=SimpleNamespace(cache=SimpleNamespace(views=views))
    )
    bot = SimpleNamespace(name=BotId(f"bot-{account}"), cells=dict.fromkeys(names))
    return SimpleNamespace(bot=bot, runner=runner)


def test_every_watched_book_is_told_once_for_each_account() -> None:
    names = [f"demo:{number}" for number in range(MANY)]
    found = books_of([watching("a", names), watching("a", names[:3]), watching("b", names[:2])])
    keys = [(one.account, one.instrument) for one in found]
    assert len(keys) == len(set(keys)) == MANY + 2
    assert {key for key in keys if key[0] == "b"} == {("b", names[0]), ("b", names[1])}


def test_a_book_is_told_by_its_best_levels() -> None:
    (top,) = books_of([watching("a", ["demo:1"])])
    assert top.bids == tuple((4_000 - level, 1 + level) for level in range(LEVELS))
    assert top.asks == ()


def test_what_is_told_each_second_holds_no_schema() -> None:
    assert len(msgspec.json.encode(EngineStatus())) < 1_000
    assert {"strategies", "books", "watching"}.isdisjoint(EngineStatus.__struct_fields__)
