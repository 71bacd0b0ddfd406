"""Of what a venue lists again and again each trade of a wallet is new once."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import InstrumentId
from engine.domain.legs import Leg, Side
from engine.domain.wallets import WalletTrade, trade_of, wallet_key
from engine.errors import BadInput, OutcomeUnknown
from engine.runtime.wallets import OVERLAP_S, PAGES_MAX, WalletPlace, look, read_places

S = 1_000_000_000
WALLET = "polymarket/0xabcd"


def trade(at_s: int, number: str = "a", size: float = 5.0) -> WalletTrade:
    return WalletTrade(
        instrument=InstrumentId("polymarket:0x1"), leg=Leg.NO, side=Side.BUY, price=0.4,
        size=size, at_ns=at_s * S, number=number,
    )  # fmt: skip


def numbers(found: list[WalletTrade]) -> list[str]:
    return [one.number for one in found]


def test_what_was_traded_before_the_first_look_is_old() -> None:
    place = WalletPlace()
    assert place.take([trade(100, "b"), trade(99, "a")]) == []
    assert numbers(place.take([trade(101, "c"), trade(100, "b"), trade(99, "a")])) == ["c#1"]


def test_the_first_trade_of_a_wallet_that_had_none_is_new() -> None:
    place = WalletPlace()
    assert place.take([]) == []
    assert numbers(place.take([trade(5)])) == ["a#1"]


def test_equal_fills_of_one_transaction_are_two_trades_and_none_comes_twice() -> None:
    place = WalletPlace()
    place.take([trade(1, "old")])
    assert numbers(place.take([trade(9), trade(9), trade(1, "old")])) == ["a#1", "a#2"]
    assert place.take([trade(9), trade(9), trade(1, "old")]) == []
    assert numbers(place.take([trade(9), trade(9), trade(9)])) == ["a#3"]


def test_one_listed_late_among_newer_ones_is_found_and_the_oldest_comes_first() -> None:
    place = WalletPlace()
    place.take([trade(100, "a")])
    assert numbers(place.take([trade(110, "d"), trade(100, "a")])) == ["d#1"]
    later = [trade(110, "d"), trade(108, "c"), trade(105, "b"), trade(100, "a")]
    assert numbers(place.take(later)) == ["b#1", "c#1"]


def test_what_is_remembered_stays_small_and_survives_a_restart() -> None:
    place = WalletPlace()
    for at_s in range(0, 100 * OVERLAP_S, OVERLAP_S // 3):
        place.take([trade(at_s, f"t{at_s}")])
    assert len(place.seen) == len(place.at_ns) <= 4
    again = read_places(msgspec.json.encode({WALLET: place}))[WALLET]
    assert again.take([trade(place.newest_ns // S, f"t{place.newest_ns // S}")]) == []
    with pytest.raises(BadInput, match="cannot be read"):
        read_places(b"[")


ROWS = st.lists(st.tuples(st.integers(1, 400), st.sampled_from("abc")), max_size=40)


@given(ROWS, st.lists(st.integers(0, 40), max_size=8))
def test_however_it_is_looked_at_each_trade_is_handed_on_once(
    rows: list[tuple[int, str]], looks: list[int]
) -> None:
    """Within the overlap: rows are listed in any order, each look sees all so far."""
    place, got = WalletPlace(), list[str]()
    place.take([])
    listed = [trade(1_000 + at % OVERLAP_S, f"{at}{name}") for at, name in rows]
    for end in [*sorted(looks), len(listed), len(listed)]:
        got += numbers(place.take(listed[:end][::-1]))
    assert len(got) == len(set(got)) == len(listed)


class Tape:
    """Pages of two, the newest first."""

    def __init__(self, listed: list[WalletTrade]) -> None:
        self.listed, self.asked = listed, list[str]()
        self.fails = 0

    async def trades(self, address: str, cursor: str) -> tuple[list[WalletTrade], str]:
        self.asked.append(f"{address} {cursor}")
        if self.fails and len(self.asked) == self.fails:
            raise OutcomeUnknown("no answer")
        at = int(cursor or 0)
        return self.listed[at : at + 2], str(at + 2) if at + 2 < len(self.listed) else ""

    async def close(self) -> None:
        pass


def looked(tape: Any, place: WalletPlace) -> tuple[list[WalletTrade], bool]:
    return asyncio.run(look(tape, "0xabcd", place))


def test_pages_are_read_back_to_what_is_known_and_no_further() -> None:
    tape = Tape([trade(10_000 - 100 * at, f"t{at}") for at in range(40)])
    place = WalletPlace()
    assert len(looked(tape, place)[0]) == 2, "the first look needs no past"
    place.take([trade(9_800, "t2")])
    tape.asked.clear()
    found, more = looked(tape, place)
    assert (len(found), more) == (6, False)
    assert found[-1].at_ns <= place.from_ns
    place.newest_ns = 1
    assert looked(tape, place) == (tape.listed[: 2 * PAGES_MAX], True)


def test_a_page_that_fails_takes_nothing() -> None:
    tape, place = Tape([trade(10 - at, f"t{at}") for at in range(6)]), WalletPlace(newest_ns=0)
    tape.fails = 2
    with pytest.raises(OutcomeUnknown):
        looked(tape, place)
    tape.fails = 0
    assert len(place.take(looked(tape, place)[0])) == 6


def test_a_trade_is_the_same_behind_its_observation() -> None:
    one = trade(100)
    seen = one.observed(WALLET, 200 * S)
    assert (seen.key, seen.source, seen.at_ns) == (
        "wallet:polymarket/0xabcd",
        "polymarket",
        100 * S,
    )
    assert trade_of(seen) == one
    assert trade(900).observed(WALLET, 200 * S).at_ns == 200 * S, "a clock ahead says now"
    assert trade_of(msgspec.structs.replace(seen, value="buy")) is None
    with pytest.raises(BadInput, match="VENUE/ADDRESS"):
        wallet_key("0xABC")
