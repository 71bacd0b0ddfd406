"""An order's bytes are a function of the order and the account."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import AccountId, Instrument, Leg, Side
from engine.domain.orders import OrderId, OrderType
from engine.errors import BadInput
from engine.venues.polymarket.account.orders import (
    AccountMemory,
    Exchanges,
    Preparer,
    market_of,
    salt_of,
)
from engine.venues.polymarket.account.signing import Signer, domain
from tests.fakes.polymarket.contracts import EXCHANGE_V3, NEG_RISK_EXCHANGE, STANDARD_EXCHANGE
from tests.fakes.polymarket.listing import Listed, identify, instrument_of
from tests.venues.polymarket.adapter import order
from tests.venues.polymarket.kit import signer, wallet

LISTED = identify(Listed(slug="preparing"), 7, 1)
INSTRUMENT = instrument_of(LISTED)
EXCHANGES = Exchanges(standard=STANDARD_EXCHANGE, neg_risk=NEG_RISK_EXCHANGE, v3=EXCHANGE_V3)


def terms(instrument: Instrument = INSTRUMENT, **changes: Any) -> dict[str, Any]:
    tokens = [{"t": token} for token in instrument.tokens or ()]
    condition = instrument.id.partition(":")[2]
    return {"c": condition, "t": tokens, "nr": False, "v": "v1"} | changes


def preparer(kind: int = 0) -> Preparer:
    memory = AccountMemory()
    memory.add(market_of(INSTRUMENT, terms(), EXCHANGES))
    return Preparer(
        memory=memory,
        signer=Signer(signer(1).key.hex()),
        wallet=wallet(signer(1), kind),
        address=signer(1).address,
        signature_type=kind,
        api_key="owner",
    )


@given(st.integers(1, 10**15))
def test_salt_is_the_order_s_own_and_an_exact_json_number(number: int) -> None:
    salt = salt_of(AccountId("a"), OrderId(number))
    assert salt == salt_of(AccountId("a"), OrderId(number))
    assert 0 <= salt < 1 << 53
    assert salt not in {salt_of(AccountId("b"), OrderId(number)), salt_of(AccountId("a"), 0)}


def test_salts_of_an_account_are_spread() -> None:
    salts = {salt_of(AccountId("a"), OrderId(number)) for number in range(10_000)}
    assert len(salts) == 10_000
    assert max(salts) > 1 << 52


@pytest.mark.parametrize("kind", [0, 3])
def test_body_says_what_was_asked(kind: int) -> None:
    asked = order(
        INSTRUMENT,
        55,
        leg=Leg.NO,
        side=Side.SELL,
        type=OrderType.GTD,
        expires_ns=1_795_132_800_999_999_999,
        created_ns=1_795_132_000_123_456_789,
    )
    prepared = preparer(kind).prepare(asked)
    body = json.loads(prepared.payload)
    signed = body["order"]
    assert (body["orderType"], body["owner"], body["postOnly"]) == ("GTD", "owner", True)
    assert (signed["expiration"], signed["timestamp"]) == ("1795132800", "1795132000123")
    assert (signed["side"], signed["tokenId"]) == ("SELL", LISTED.tokens[1])
    assert (signed["makerAmount"], signed["takerAmount"]) == ("10000000", "5500000")
    assert signed["maker"] == wallet(signer(1), kind)
    assert signed["signer"] == (wallet(signer(1), 3) if kind == 3 else signer(1).address)
    assert prepared == preparer(kind).prepare(asked)


def test_what_is_not_post_only_or_gtd_does_not_say_so() -> None:
    asked = order(INSTRUMENT, type=OrderType.GTC, post_only=False, expires_ns=10**18)
    body = json.loads(preparer().prepare(asked).payload)
    assert "postOnly" not in body
    assert body["order"]["expiration"] == "0"


# -- the terms orders are signed under -------------------------------------------------------------


def test_exchange_is_the_market_s() -> None:
    v2 = instrument_of(identify(Listed(slug="second", version="v2"), 7, 2))
    cases = [
        (INSTRUMENT, {}, domain("2", STANDARD_EXCHANGE)),
        (INSTRUMENT, {"nr": True}, domain("2", NEG_RISK_EXCHANGE)),
        (v2, {"v": "v2", "nr": True}, domain("3", EXCHANGE_V3)),
    ]
    for instrument, changes, separator in cases:
        body = terms(instrument, **changes)
        assert market_of(instrument, body, EXCHANGES).separator == separator


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        terms(v=None),
        terms(v="v3"),
        terms(v="v2"),
        terms(nr="no"),
        terms(c="0x1"),
        terms(t=[]),
        terms(t=[{"t": "1"}, {"t": "2"}]),
    ],
)
def test_terms_that_are_missing_or_new_are_never_guessed(body: object) -> None:
    with pytest.raises(BadInput):
        market_of(INSTRUMENT, body, EXCHANGES)
