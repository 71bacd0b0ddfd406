"""Every gate a strategy looks at has words, and says what it waits for when it fails."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from engine.domain.decisions import Gate
from engine.strategies.market_maker.strategy import MarketMaker
from engine.strategies.registry import STRATEGIES, category_of
from pages.shared.why import Vocabulary

WORDS = Vocabulary(dict(MarketMaker.gates), dict(MarketMaker.values))
HOUSE = Path(__file__).resolve().parents[2] / "engine" / "strategies" / "market_maker"


def gates_of_the_house() -> set[str]:
    """Read the first argument of every `Gate(…)` and `_flag(…)` of the market maker."""
    found: set[str] = set()
    for path in HOUSE.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            if call.func.id not in ("Gate", "_flag") or not call.args:
                continue
            name = call.args[0]
            if isinstance(name, ast.Constant):
                found.add(str(name.value))
            elif isinstance(name, ast.JoinedStr):  # `_fresh` is asked for these two
                last = name.values[-1]
                assert isinstance(last, ast.Constant)
                found |= {f"{view}{last.value}" for view in ("oracle", "reference")}
    return found


def test_every_gate_of_the_market_maker_has_words_and_no_other() -> None:
    assert gates_of_the_house() == set(WORDS.gates)


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        (Gate("data_age_ms", False, 12_000.0, 5_000.0),
         "the book is fresh again (stale 12 s > 5.0 s)"),
        (Gate("healthy", False, 0.0, 1.0), "the account may place orders again"),
        (Gate("started", False, -90.0, 0.0), "the window begins (in 90 s)"),
        (Gate("not_closing", False, -3.0, 0.0),
         "the market were not about to close (its stop was 3.0 s ago)"),
        (Gate("basis_ready", False, 4.0, 10.0),
         "oracle and reference have been compared more often (4 of 10 pairs)"),
        (Gate("fair_gap", False, 0.31, 0.25),
         "fair value and book agree again (0.31 apart > 0.25)"),
        (Gate("own_thing", False, 1.0, 2.0), "own thing holds (1 against 2)"),
    ],
)  # fmt: skip
def test_a_failed_gate_says_what_it_waits_for(gate: Gate, words: str) -> None:
    assert WORDS.condition(gate) == f"would trade if: {words}"


@pytest.mark.parametrize("name", sorted(WORDS.gates))
def test_every_gate_tells_its_condition_without_a_hole(name: str) -> None:
    told = WORDS.condition(Gate(name, False, 2.0, 1.0))
    assert told.startswith("would trade if: ")
    assert "{" not in told + WORDS.against(Gate(name, True, 1.0, 2.0))


BINARY = {"listed_kind": "binary", "currency": "pUSD"}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("best_bid", 0.51, ("best bid", "51¢")),
        ("fair", 0.5123, ("fair value", "51.23¢")),
        ("to_close_s", 61.0, ("time to close", "61 s")),
        ("position_shares", 12.0, ("position", "12 shares")),
        ("sigma_bps_per_sqrt_s", 0.25, ("volatility", "0.25 bps per √s")),
        ("capital", 250.0, ("capital", "250 pUSD")),
        ("width_vol", 0.00012, ("width for volatility", "0.012¢")),
        ("skew", -0.015, ("skew for the position", "\N{MINUS SIGN}1.5¢")),
        ("ask_edge", 0.5225, ("ask before the tick", "52.25¢")),
        ("my_number", 2.5, ("my number", "2.5")),
    ],
)
def test_a_value_has_its_label_and_unit(name: str, value: float, shown: tuple[str, str]) -> None:
    assert WORDS.value(name, value, BINARY) == shown
    assert WORDS.value("fair", 0.51, {"listed_kind": None}) == ("fair value", "0.51")


def test_a_part_of_a_price_is_in_the_currency_where_its_venue_has_no_cents() -> None:
    spot = {"listed_kind": "spot", "currency": "USD"}
    assert WORDS.value("width_fee", 12.5, spot) == ("width for the fee", "12.5 USD")
    assert WORDS.value("capital", 1_000.0, {"listed_kind": None}) == ("capital", "1,000")


def test_a_position_is_counted_in_what_its_pair_trades() -> None:
    spot = {"listed_kind": "spot", "currency": "pUSD", "instrument": "demo:BTC-pUSD"}
    assert WORDS.value("position_shares", 0.25, spot) == ("position", "0.25 BTC")


LINEAR = {name: kind for name, kind in STRATEGIES.items() if category_of(kind) != "binaries"} | {
    "market_maker": MarketMaker
}


@pytest.mark.parametrize("name", sorted(LINEAR))
def test_what_trades_pairs_too_says_nothing_of_shares(name: str) -> None:
    """A word that is true of a binary alone is wrong on every other instrument."""
    kind = LINEAR[name]
    gates = [text for one in kind.gates.values() for text in (one.holds, one.would, one.broken)]
    values = [text for one in kind.values.values() for text in (one.label, one.after)]
    wrong = re.compile(r"\bshares\b|\ba share\b|per share|\bcents?\b|\N{CENT SIGN}")
    assert [text for text in [*gates, *values] if wrong.search(text)] == []
