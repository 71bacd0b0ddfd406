from __future__ import annotations

from decimal import Decimal

import pytest

from pages.kit import names, words


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        (Decimal("1234.5"), False, "1,234.50 USD"),
        (Decimal("-0.0123"), True, "\N{MINUS SIGN}0.0123 USD"),
        (Decimal("0.98"), False, "0.98 USD"),
        (Decimal("-0.000031"), True, "\N{MINUS SIGN}0.000031 USD"),
        (Decimal("-0.00005"), False, "\N{MINUS SIGN}0.000050 USD"),
        (Decimal(0), True, "+0.00 USD"),
        (Decimal("-0.0"), False, "0.00 USD"),
        (None, True, words.NOTHING),
    ],
)
def test_money_has_currency_and_sign(value: Decimal | None, signed: bool, text: str) -> None:
    assert words.money(value, "USD", signed=signed) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1234.5", "+1,234.50"),
        ("0.725", "+0.72"),
        ("-0.045", "\N{MINUS SIGN}0.04"),
        ("0.0049", "+0.0049"),
        ("0.005", "+0.0050"),
        ("-0.00004", "\N{MINUS SIGN}0.000040"),
        ("-0.000", "+0.00"),
        ("0", "+0.00"),
    ],
)
def test_amounts_of_one_column_have_two_decimals_and_none_seems_zero(value: str, text: str) -> None:
    assert words.in_column(Decimal(value), signed=True) == text
    assert words.in_column(None) == words.NOTHING


@pytest.mark.parametrize("value", ["0.005", "-0.005", "0.000001"])
def test_no_size_seems_a_zero(value: str) -> None:
    assert names.size(Decimal(value)) == value


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (61, "61 s"), (600, "10 min"), (9_000, "2 h"), (200_000, "2 d")],
)
def test_an_age_has_one_unit(seconds: float, text: str) -> None:
    assert words.age(int(seconds * 10**9)) == text
    assert words.age(-1) == "in the future"
    assert words.age(None) == words.NOTHING


def test_a_time_names_its_zone_and_utc_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    at = 1_767_225_600_123_456_789
    assert words.moment(at) == "2026-01-01 00:00:00 UTC"
    monkeypatch.setattr(words, "zone", lambda: "Europe/Berlin")
    assert words.moment(at) == "2026-01-01 01:00:00 CET"
    assert words.utc(at) == "2026-01-01T00:00:00.123456789Z"
    assert words.moment(None) == words.utc(None) == words.NOTHING


def test_a_time_of_today_has_no_date_in_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    noon = 1_767_225_600 * words.SECOND_NS + 12 * 3_600 * words.SECOND_NS
    hours = 3_600 * words.SECOND_NS
    assert words.nearby(noon + 2 * hours, noon) == "14:00 UTC"
    assert words.nearby(noon + 13 * hours, noon) == "Jan 2, 01:00 UTC"
    monkeypatch.setattr(words, "zone", lambda: "Europe/Berlin")
    assert words.nearby(noon + 11 * hours, noon) == "Jan 2, 00:00 CET"


def test_a_part_of_nothing_is_a_dash() -> None:
    assert words.percent(1, 0) == words.NOTHING
    assert words.percent(1, 4) == "25 %"
    assert (words.count(1, "order"), words.count(2, "order")) == ("1 order", "2 orders")
