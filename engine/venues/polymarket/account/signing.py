"""Orders hashed and signed: EIP-712 digests and the four kinds of signature.

The digest is an order's id at the venue and known before anything is sent (law K). Structure and
constants: reference of the trading API, §2.3 (order), §2.5 (deposit wallets, ERC-7739), App. A.
Signing is coincurve's; pure Python takes ten times as long.
"""

from __future__ import annotations

import msgspec
from coincurve import PrivateKey
from Crypto.Hash import keccak as _keccak

from engine.domain.orders import Identity

CHAIN = 137
DEPOSIT_WALLET = 3
"""Signature type of a wallet that is a contract (ERC-1271)."""
ZERO_WORD = "0x" + "0" * 64

_ORDER = (
    b"Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
    b"uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,"
    b"bytes32 builder)"
)
_NESTED = (
    b"TypedDataSign(Order contents,string name,string version,uint256 chainId,"
    b"address verifyingContract,bytes32 salt)" + _ORDER
)
_DOMAIN = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


def keccak(data: bytes) -> bytes:
    """Return Keccak-256, the hash of Ethereum."""
    return _keccak.new(data=data, digest_bits=256).digest()


_ORDER_HASH, _NESTED_HASH, _DOMAIN_HASH = keccak(_ORDER), keccak(_NESTED), keccak(_DOMAIN)
_NAME_HASH = keccak(b"Polymarket CTF Exchange")
_WALLET_NAME_HASH, _WALLET_VERSION_HASH = keccak(b"DepositWallet"), keccak(b"1")
_TRAILER = _ORDER + len(_ORDER).to_bytes(2, "big")
_NO_WORDS = bytes(64)
"""Metadata and builder code: we use neither."""


class SignedFields(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed of an order. Amounts in millionths, the timestamp in milliseconds."""

    salt: int
    maker: str
    signer: str
    token: int
    maker_amount: int
    taker_amount: int
    buy: bool
    signature_type: int
    timestamp_ms: int


def domain(version: str, exchange: str) -> bytes:
    """Return the domain separator of an exchange contract; version "2" or "3"."""
    return keccak(
        _DOMAIN_HASH + _NAME_HASH + keccak(version.encode()) + _word(CHAIN) + _address(exchange)
    )


def contents_hash(fields: SignedFields) -> bytes:
    """Return the hash of an order's fields."""
    return keccak(
        b"".join(
            (
                _ORDER_HASH,
                _word(fields.salt),
                _address(fields.maker),
                _address(fields.signer),
                _word(fields.token),
                _word(fields.maker_amount),
                _word(fields.taker_amount),
                _word(0 if fields.buy else 1),
                _word(fields.signature_type),
                _word(fields.timestamp_ms),
                _NO_WORDS,
            )
        )
    )


class Signer:
    """Signs with one key. Its `repr` shows nothing."""

    __slots__ = ("_key",)

    def __init__(self, private_key: str) -> None:
        self._key = PrivateKey(bytes.fromhex(private_key.removeprefix("0x")))

    def __repr__(self) -> str:
        return "Signer(<hidden>)"

    def sign(self, separator: bytes, fields: SignedFields) -> tuple[Identity, str]:
        """Return the order's identity under a domain and its signature, both as hex."""
        contents = contents_hash(fields)
        digest = keccak(b"\x19\x01" + separator + contents)
        identity = Identity("0x" + digest.hex())
        if fields.signature_type != DEPOSIT_WALLET:
            return identity, "0x" + self._over(digest).hex()
        nested = keccak(
            b"".join(
                (
                    _NESTED_HASH,
                    contents,
                    _WALLET_NAME_HASH,
                    _WALLET_VERSION_HASH,
                    _word(CHAIN),
                    _address(fields.signer),
                    bytes(32),
                )
            )
        )
        inner = self._over(keccak(b"\x19\x01" + separator + nested))
        return identity, "0x" + (inner + separator + contents + _TRAILER).hex()

    def _over(self, digest: bytes) -> bytes:
        raw = self._key.sign_recoverable(digest, hasher=None)
        return bytes(raw[:64]) + bytes([raw[64] + 27])


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _address(text: str) -> bytes:
    return bytes(12) + bytes.fromhex(text[2:])
