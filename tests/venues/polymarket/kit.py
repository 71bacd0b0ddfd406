"""What the fake venue's tests share: the official SDK pointed at it, and a hand-made trader."""

from __future__ import annotations

import dataclasses
import json
import time
from decimal import Decimal
from typing import Any, Self

import httpx
from eth_account import Account
from eth_account.signers.local import LocalAccount
from polymarket._internal.actions.orders.typed_data import (
    build_order_signature,
    build_order_typed_data,
)
from polymarket._internal.actions.orders.types import BYTES32_ZERO, UnsignedOrder
from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment
from polymarket._internal.hmac import build_hmac_signature
from polymarket._internal.l1_auth import sign_api_key_auth
from polymarket.environments import Environment

from tests.fakes.polymarket.listing import Listed
from tests.fakes.polymarket.server import Served
from tests.fakes.polymarket.settings import Settings
from tests.fakes.polymarket.signing import Wallets, exchange_of, wallets_of

QUICK: dict[str, Any] = {
    "mined_ms": (20, 20),
    "confirmed_ms": (20, 20),
    "balance_lag_s": 0.02,
    "data_lag_s": 0.0,
}


def quick(**changes: Any) -> Settings:
    """Settings under which settlement takes no time worth waiting for."""
    return Settings(**(QUICK | changes))


def signer(number: int) -> LocalAccount:
    """The same signer for the same number."""
    account: LocalAccount = Account.from_key(f"0x{number + 0xA11CE:064x}")
    return account


def wallet(account: LocalAccount, kind: int) -> str:
    """A signer's wallet of a signature type."""
    known: Wallets = wallets_of(account.address)
    return (known.eoa, known.proxy, known.safe, known.deposit_uups)[kind]


def environment(served: Served) -> Environment:
    """The SDK's environment with every address on the fake venue."""
    http, ws = served.url, served.ws
    config = dataclasses.replace(
        PRODUCTION_CONFIG,
        clob_url=http,
        gamma_url=http,
        data_url=http,
        relayer_url=http,
        rpc_url=http,
        rfq_url=http,
        clob_market_ws_url=ws + "/ws/market",
        clob_user_ws_url=ws + "/ws/user",
        relayer_poll_frequency_ms=20,
    )
    return create_environment(name="fake", config=config)


class Trader:
    """One signer over plain HTTP: it may say whatever it likes, right or wrong."""

    def __init__(self, served: Served, number: int = 1, kind: int = 0) -> None:
        self.served = served
        self.account = signer(number)
        self.kind = kind
        self.wallet = wallet(self.account, kind)
        self.http = httpx.AsyncClient(base_url=served.url, timeout=150, verify=False)
        self.creds: dict[str, str] = {}
        self._salt = 0

    async def __aenter__(self) -> Self:
        response = await self.http.post("/auth/api-key", headers=self.l1())
        if response.status_code != 200:
            response = await self.http.get("/auth/derive-api-key", headers=self.l1())
        self.creds = response.json()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    def l1(self, nonce: int = 0, at_s: int | None = None) -> dict[str, str]:
        signed = sign_api_key_auth(
            self.account, chain_id=137, timestamp=at_s or int(time.time()), nonce=nonce
        )
        return {
            "POLY_ADDRESS": signed.address,
            "POLY_SIGNATURE": signed.signature,
            "POLY_TIMESTAMP": str(signed.timestamp),
            "POLY_NONCE": str(nonce),
        }

    def l2(self, method: str, path: str, body: str = "", **changes: str) -> dict[str, str]:
        stamp = int(time.time())
        mac = build_hmac_signature(
            secret=self.creds["secret"], timestamp=stamp, method=method, path=path, body=body
        )
        return {
            "POLY_ADDRESS": self.account.address,
            "POLY_API_KEY": self.creds["apiKey"],
            "POLY_PASSPHRASE": self.creds["passphrase"],
            "POLY_TIMESTAMP": str(stamp),
            "POLY_SIGNATURE": mac,
        } | changes

    async def ask(self, method: str, path: str, given: Any = None, **query: Any) -> httpx.Response:
        """Send a signed request."""
        body = "" if given is None else json.dumps(given, separators=(",", ":"))
        headers = self.l2(method, path, body)
        return await self.http.request(
            method, path, content=body or None, headers=headers, params=query or None
        )

    async def fetch(self, method: str, path: str, given: Any = None, **query: Any) -> Any:
        """Send a signed request and return the body of its 200."""
        response = await self.ask(method, path, given, **query)
        assert response.status_code == 200, response.text
        return response.json()

    def order(
        self,
        market: Listed,
        side: str,
        price: str,
        size: str,
        *,
        outcome: int = 0,
        kind: str = "GTC",
        expiration: int = 0,
        post_only: bool = False,
        **changes: Any,
    ) -> dict[str, Any]:
        """A signed order as POST /order takes it; a market BUY spends `size` pUSD."""
        amount, unit = Decimal(size), Decimal(price)
        money, shares = amount * unit, amount
        if side == "BUY" and kind in {"FOK", "FAK"}:
            money, shares = amount, (amount / unit).quantize(Decimal("0.0001"), "ROUND_DOWN")
        pair = (money, shares) if side == "BUY" else (shares, money)
        made = {"maker_amount": int(pair[0] * 10**6), "taker_amount": int(pair[1] * 10**6)}
        body = self.signed(market, side, market.tokens[outcome], **(made | changes))
        body["orderType"] = kind
        body["order"]["expiration"] = str(expiration)
        return body | ({"postOnly": True} if post_only else {})

    def signed(self, market: Listed, side: str, token: str, **changes: Any) -> dict[str, Any]:
        """A signed order with any amounts."""
        self._salt += 1
        version = changes.pop("protocol_version", "3" if market.version == "v2" else "2")
        by = changes.pop("by", self.account)
        fields: dict[str, Any] = {
            "chain_id": 137,
            "builder": BYTES32_ZERO,
            "exchange_address": exchange_of(market.version, neg_risk=market.neg_risk),
            "expiration": 0,
            "maker": self.wallet,
            "metadata": BYTES32_ZERO,
            "order_type": "GTC",
            "salt": self._salt,
            "side": side,
            "signature_type": self.kind,
            "signer": self.wallet if self.kind == 3 else self.account.address,
            "timestamp": time.time_ns() // 10**6,
            "token_id": token,
            "protocol_version": version,
        }
        order = UnsignedOrder(**(fields | changes))
        raw = "0x" + by.sign_typed_data(full_message=build_order_typed_data(order)).signature.hex()
        return {
            "order": {
                "salt": order.salt,
                "maker": order.maker,
                "signer": order.signer,
                "tokenId": order.token_id,
                "makerAmount": str(order.maker_amount),
                "takerAmount": str(order.taker_amount),
                "side": order.side,
                "expiration": "0",
                "signatureType": order.signature_type,
                "timestamp": str(order.timestamp),
                "metadata": order.metadata,
                "builder": order.builder,
                "signature": build_order_signature(order, raw),
            },
            "owner": self.creds["apiKey"],
            "orderType": "GTC",
        }

    async def post(self, body: dict[str, Any], **inner: Any) -> httpx.Response:
        """Post an order; `inner` overwrites fields after signing."""
        return await self.ask("POST", "/order", body | {"order": body["order"] | inner})

    async def place(
        self, market: Listed, side: str, price: str, size: str, **changes: Any
    ) -> dict[str, Any]:
        """Place an order that must be taken."""
        response = await self.post(self.order(market, side, price, size, **changes))
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def refused(
        self, market: Listed, side: str, price: str, size: str, **changes: Any
    ) -> str:
        """Place an order that must be refused; return why."""
        response = await self.post(self.order(market, side, price, size, **changes))
        assert response.status_code == 400, response.text
        return str(response.json()["error"])

    async def rich(self, market: Listed, pairs: int = 100) -> None:
        """Own pairs of a market."""
        given = {"signer": self.account.address, "wallet": self.wallet, "split": pairs}
        await self.served.control("wallet", condition=market.condition, **given)


def by_slug(served: Served, slug: str) -> Listed:
    """A market of the venue."""
    return next(m for m in served.venue.by_condition.values() if m.slug == slug)


RAIN, CUP, BRIDGE = "will-it-rain-in-lisbon", "who-wins-the-cup-spain", "will-the-bridge-open"
FINE, DELAYED, LIONS = "fine-grid-price", "btc-delayed-takers", "lions-vs-bears"
