"""Refusals as a person reads them: amounts in the account's money, the venue's text beside."""

from __future__ import annotations

from typing import Any

from engine.domain.orders import CancelReason, RejectReason
from engine.domain.words import REASONS
from pages.shared import alert, refusals

FUNDS = (
    "no_funds: not enough balance / allowance: the balance is not enough -> "
    "balance: 13000000, sum of matched orders: 2500000, order amount: 18000000"
)
ORDER: dict[str, Any] = {
    "side": "buy", "leg": "yes", "currency": "pUSD", "size_decimals": 6, "price_decimals": 4,
}  # fmt: skip
ALERT: dict[str, Any] = {
    "severity": "warning", "kind": "rejected_no_funds", "text": f"order 7 was refused: {FUNDS}",
    "count": 1, "first_ns": 1, "last_ns": 2, "acked_ns": None, "account": "demo", "bot": "",
    "instrument": "",
}  # fmt: skip


def test_every_reason_of_a_venue_has_words() -> None:
    assert set(REASONS) == {*RejectReason, *CancelReason}


def test_lacking_cash_is_told_in_the_accounts_money() -> None:
    assert refusals.in_words(FUNDS, ORDER) == (
        "not enough funds: the order needs 18.00 pUSD, the balance is 13.00 pUSD, "
        "2.50 pUSD of it in other orders"
    )


def test_lacking_tokens_are_told_in_tokens() -> None:
    text = "no_funds: x: allowance: 1000000, order amount: 4500000"
    said = refusals.in_words(text, {**ORDER, "side": "sell"})
    assert said == "not enough funds: the order needs 4.50 YES, the allowance is 1 YES"


def test_amounts_of_an_order_that_is_not_known_are_not_guessed() -> None:
    assert refusals.in_words(FUNDS, None) == "not enough funds"
    assert refusals.in_words("a person's own words: yes", ORDER) == "a person's own words: yes"
    assert refusals.in_words("", ORDER) == ""


def test_an_alert_of_a_refusal_keeps_the_venues_text_in_a_fold() -> None:
    html = alert.line(ALERT, 3, ORDER)
    told, _, fold = html.partition("<details")
    assert "order 7 (BUY YES) was refused: not enough funds: the order needs 18.00 pUSD" in told
    assert "13000000" not in told
    assert "order amount: 18000000" in fold


def test_an_alert_of_anything_else_stays_as_it_is() -> None:
    assert "<p>the book &lt;tore&gt;</p>" in alert.line({**ALERT, "text": "the book <tore>"}, 3)


def test_an_alert_names_its_market_as_the_pages_do() -> None:
    stored = "bot maker has no place; it places nothing in demo:btc-updown-5m-1795515900"
    shown = "bot maker has no place; it places nothing in btc-updown-5m 10:25"
    assert f"<p>{shown}</p>" in alert.line({**ALERT, "text": stored}, 3)
