"""Our digests and signatures are those of the official SDK, byte for byte."""

from __future__ import annotations

import time
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from polymarket._internal.actions.orders.typed_data import (
    _build_standard_typed_data,
    build_order_signature,
    build_order_typed_data,
)
from polymarket._internal.actions.orders.types import BYTES32_ZERO, UnsignedOrder

from engine.venues.polymarket.account.signing import SignedFields, Signer, domain
from tests.fakes.polymarket.signing import exchange_of
from tests.venues.polymarket.kit import signer, wallet

TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
EXCHANGES = {
    "v1": ("2", exchange_of("v1", neg_risk=False)),
    "neg risk": ("2", exchange_of("v1", neg_risk=True)),
    "v2": ("3", exchange_of("v2", neg_risk=False)),
}


def fields(kind: int, number: int, *, buy: bool) -> SignedFields:
    account = signer(number)
    holder = wallet(account, kind)
    return SignedFields(
        salt=(1 << 53) - number,
        maker=holder,
        signer=holder if kind == 3 else account.address,
        token=int(TOKEN) - number,
        maker_amount=5_000_000 + number,
        taker_amount=10_000_000,
        buy=buy,
        signature_type=kind,
        timestamp_ms=1_795_132_800_123,
    )


def of_the_sdk(given: SignedFields, version: str, exchange: str, number: int) -> tuple[str, str]:
    unsigned: dict[str, Any] = {
        "chain_id": 137,
        "builder": BYTES32_ZERO,
        "exchange_address": exchange,
        "expiration": 0,
        "maker": given.maker,
        "maker_amount": given.maker_amount,
        "metadata": BYTES32_ZERO,
        "order_type": "GTC",
        "salt": given.salt,
        "side": "BUY" if given.buy else "SELL",
        "signature_type": given.signature_type,
        "signer": given.signer,
        "taker_amount": given.taker_amount,
        "timestamp": given.timestamp_ms,
        "token_id": str(given.token),
        "protocol_version": version,
    }
    order = UnsignedOrder(**unsigned)
    plain = _build_standard_typed_data(order, protocol_version=version)
    message = encode_typed_data(full_message=plain)
    digest = keccak(b"\x19" + message.version + message.header + message.body)
    signed = signer(number).sign_typed_data(full_message=build_order_typed_data(order))
    return "0x" + digest.hex(), build_order_signature(order, "0x" + signed.signature.hex())


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("kind", [0, 1, 2, 3])
def test_identity_and_signature_are_the_sdk_s(kind: int, exchange: str) -> None:
    version, contract = EXCHANGES[exchange]
    for number in (1, 2, 3):
        given = fields(kind, number, buy=number % 2 == 0)
        ours = Signer(signer(number).key.hex()).sign(domain(version, contract), given)
        assert ours == of_the_sdk(given, version, contract, number)


@pytest.mark.parametrize("kind", [0, 3])
def test_signing_takes_less_than_half_a_millisecond(kind: int) -> None:
    separator = domain(*EXCHANGES["v1"])
    made, given = Signer(signer(1).key.hex()), fields(kind, 1, buy=True)
    made.sign(separator, given)
    best = min(timed(made, separator, given) for _ in range(30))
    assert best < 0.000_5


def timed(made: Signer, separator: bytes, given: SignedFields) -> float:
    started = time.process_time()
    made.sign(separator, given)
    return time.process_time() - started


def test_signer_shows_nothing() -> None:
    key = signer(1).key.hex()
    assert key.removeprefix("0x") not in repr(Signer(key))
