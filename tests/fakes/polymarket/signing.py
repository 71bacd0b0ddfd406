"""Who signed what: EIP-712 digests recomputed, signatures of types 0 to 3 recovered.

An order's id is the EIP-712 digest under its exchange's domain, for type 3 too (polymarket.md
§2.3, §2.5, §2.6). Hashing and recovery are eth-account's; the wallets of a signer are CREATE2
facts of the chain, taken from the SDK's table of contracts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_keys.exceptions import BadSignature
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from tests.fakes.polymarket.contracts import (
    CHAIN,
    EXCHANGE_V3,
    NEG_RISK_EXCHANGE,
    STANDARD_EXCHANGE,
)
from tests.fakes.polymarket.refusal import BAD_SIGNATURE, Refused

ORDER = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
    "uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,"
    "bytes32 builder)"
)
AUTH_MESSAGE = "This message attests that I control the given wallet"


def _fields(type_text: str) -> list[dict[str, str]]:
    inner = type_text[type_text.index("(") + 1 : -1]
    return [{"name": pair.split()[1], "type": pair.split()[0]} for pair in inner.split(",")]


_ORDER_FIELDS = _fields(ORDER)
_NESTED_FIELDS = _fields(
    "TypedDataSign(Order contents,string name,string version,uint256 chainId,"
    "address verifyingContract,bytes32 salt)"
)
_AUTH_FIELDS = _fields("ClobAuth(address address,string timestamp,uint256 nonce,string message)")
_BATCH_FIELDS = _fields("Batch(address wallet,uint256 nonce,uint256 deadline,Call[] calls)")
_CALL_FIELDS = _fields("Call(address target,uint256 value,bytes data)")


class Wallets(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses one signer may trade with."""

    eoa: str
    proxy: str
    safe: str
    deposit_uups: str
    deposit_beacon: str

    def kind(self, address: str) -> int | None:
        """Return the signature type of one of them, None for a stranger."""
        if address == self.eoa:
            return 0
        if address == self.proxy:
            return 1
        if address == self.safe:
            return 2
        return 3 if address in {self.deposit_uups, self.deposit_beacon} else None


@lru_cache(maxsize=4_096)
def wallets_of(signer: str) -> Wallets:
    """Return a signer's wallets."""
    # The SDK takes seconds to load, and a venue nobody has signed in to does not need it.
    from polymarket._internal import wallet as derivation
    from polymarket._internal.environment import PRODUCTION_CONFIG

    config = PRODUCTION_CONFIG.wallet_derivation
    return Wallets(
        eoa=signer,
        proxy=derivation.derive_proxy_wallet_address(signer, config),
        safe=derivation.derive_safe_wallet_address(signer, config),
        deposit_uups=derivation.derive_uups_deposit_wallet_address(signer, config),
        deposit_beacon=derivation.derive_beacon_deposit_wallet_address(signer, config),
    )


def address(text: object) -> str:
    """Return an address in checksum form. Raises Refused."""
    try:
        return str(to_checksum_address(str(text)))
    except (ValueError, ValidationError):
        raise Refused("Invalid order payload") from None


def exchange_of(version: str, *, neg_risk: bool) -> str:
    """Return the verifying contract of a market's orders."""
    if version == "v2":
        return EXCHANGE_V3
    return NEG_RISK_EXCHANGE if neg_risk else STANDARD_EXCHANGE


def digest(message: SignableMessage) -> bytes:
    """Return what was signed."""
    return bytes(keccak(b"\x19" + message.version + message.header + message.body))


def recover(message: SignableMessage, signature: bytes) -> str:
    """Return who signed. Raises Refused where the bytes are no signature."""
    if len(signature) != 65 or signature[64] not in {27, 28}:  # what the contracts take
        raise Refused(BAD_SIGNATURE)
    try:
        return str(Account.recover_message(message, signature=signature))
    except (BadSignature, ValidationError, ValueError):
        raise Refused(BAD_SIGNATURE) from None


def auth_message(signer: str, timestamp: str, nonce: int) -> SignableMessage:
    """Return the L1 message a signer proves its address with."""
    return encode_typed_data(
        {"name": "ClobAuthDomain", "version": "1", "chainId": CHAIN},
        {"ClobAuth": _AUTH_FIELDS},
        {"address": signer, "timestamp": timestamp, "nonce": nonce, "message": AUTH_MESSAGE},
    )


def batch_message(wallet: str, nonce: int, deadline: int, calls: list[Any]) -> SignableMessage:
    """Return the message of a deposit wallet's batch of calls."""
    return encode_typed_data(
        {"name": "DepositWallet", "version": "1", "chainId": CHAIN, "verifyingContract": wallet},
        {"Batch": _BATCH_FIELDS, "Call": _CALL_FIELDS},
        {"wallet": wallet, "nonce": nonce, "deadline": deadline, "calls": calls},
    )


class SignedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The eleven signed fields, and the signature."""

    salt: int
    maker: str
    signer: str
    token_id: int
    maker_amount: int
    taker_amount: int
    buy: bool
    signature_type: int
    timestamp: int
    metadata: str
    builder: str
    signature: str

    def message(self) -> dict[str, Any]:
        """Return the fields as they are hashed."""
        return {
            "salt": self.salt,
            "maker": self.maker,
            "signer": self.signer,
            "tokenId": self.token_id,
            "makerAmount": self.maker_amount,
            "takerAmount": self.taker_amount,
            "side": 0 if self.buy else 1,
            "signatureType": self.signature_type,
            "timestamp": self.timestamp,
            "metadata": self.metadata,
            "builder": self.builder,
        }


def verify_order(order: SignedOrder, owner: str, version: str, *, neg_risk: bool) -> str:
    """Return the order's id. Raises Refused where `owner` did not sign exactly this order."""
    domain = {
        "name": "Polymarket CTF Exchange",
        "version": "3" if version == "v2" else "2",
        "chainId": CHAIN,
        "verifyingContract": exchange_of(version, neg_risk=neg_risk),
    }
    plain = encode_typed_data(domain, {"Order": _ORDER_FIELDS}, order.message())
    try:
        signature = bytes.fromhex(order.signature.removeprefix("0x"))
    except ValueError:
        raise Refused(BAD_SIGNATURE) from None
    if wallets_of(owner).kind(order.maker) != order.signature_type:
        raise Refused(BAD_SIGNATURE)
    if order.signature_type == 3:
        inner = _unwrapped(signature, plain)
        signed = encode_typed_data(domain, _NESTED_TYPES, _nested(order))
    else:
        inner, signed = signature, plain
    if recover(signed, inner) != owner:
        raise Refused(BAD_SIGNATURE)
    return "0x" + digest(plain).hex()


_NESTED_TYPES = {"TypedDataSign": _NESTED_FIELDS, "Order": _ORDER_FIELDS}


def _nested(order: SignedOrder) -> dict[str, Any]:
    return {
        "contents": order.message(),
        "name": "DepositWallet",
        "version": "1",
        "chainId": CHAIN,
        "verifyingContract": order.maker,
        "salt": bytes(32),
    }


def _unwrapped(signature: bytes, plain: SignableMessage) -> bytes:
    """Check the ERC-7739 trailer against our own hashes and return the inner signature."""
    trailer = plain.header + plain.body + ORDER.encode() + len(ORDER).to_bytes(2, "big")
    if len(signature) != 65 + len(trailer) or not signature.endswith(trailer):
        raise Refused(BAD_SIGNATURE)
    return signature[:65]
