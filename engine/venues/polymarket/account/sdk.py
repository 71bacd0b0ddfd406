"""The official SDK `polymarket-client`, and the only file that touches it.

We use its classification of wallets, its API keys, its L2 headers and how it judges an answer, over
connections of our own. Orders are made and read elsewhere in this room: the SDK draws a random salt
while an order must have its name before it is sent, its `place_*` may send a transaction to the
chain, and its models refuse answers whose empty fields are null although the order lives. Its own
client would open eleven more connections, replace a key that does not answer and even deploy a
wallet, so there is none. Pinned exactly; its private parts are used here alone.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
import msgspec
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from polymarket._internal.actions.auth import create_api_key, derive_api_key
from polymarket._internal.actions.relayer.approvals import (
    build_get_trading_approvals_state_spec,
    build_missing_trading_approval_calls,
)
from polymarket._internal.actions.relayer.auth import make_relayer_header_resolver
from polymarket._internal.actions.relayer.calls import (
    TransactionCall,
    ctf_merge_positions_call,
    ctf_redeem_positions_call,
    ctf_split_position_call,
    router_merge_call,
    router_redeem_call,
    router_split_call,
)
from polymarket._internal.actions.relayer.gasless import (
    _resolve_safe_call,
    build_deposit_wallet_payload,
    build_safe_payload,
)
from polymarket._internal.actions.relayer.nonce import fetch_execute_params
from polymarket._internal.actions.relayer.signing.deposit_wallet import sign_deposit_wallet_batch
from polymarket._internal.actions.relayer.signing.safe import sign_safe_transaction
from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket._internal.l1_auth import sign_api_key_auth
from polymarket._internal.protocol import decode_v2_outcome_position_id, is_v2_position_id
from polymarket._internal.wallet import classify_account, signature_type_for
from polymarket.auth import BuilderApiKey, RelayerApiKey
from polymarket.clients._transport import (
    AsyncTransport,
    HeaderResolver,
    _clean_params,
    _notify_rate_limit_update,
    _raise_for_response_status,
)
from polymarket.clients.async_secure import _make_l2_header_resolver
from polymarket.errors import (
    OrderHeartbeatMismatchError,
    RateLimitError,
    RequestRejectedError,
    TransportError,
    UnexpectedResponseError,
    UserInputError,
)
from polymarket.models.clob import ApiKeyCreds
from polymarket.models.clob.relayer import RelayerTransactionType
from polymarket.rate_limit import RateLimitUpdate
from polymarket.types import EvmAddress

from engine.domain.orders import OperationName
from engine.domain.plain import PlainView
from engine.errors import AuthRefused, BadInput, ConfigError, NotSent, OutcomeUnknown, VenueDown
from engine.venues.polymarket.account.credentials import Credentials
from engine.venues.polymarket.account.orders import Exchanges
from engine.venues.polymarket.account.outcomes import HeartbeatRefused, VenueRefusal, raise_common

T = TypeVar("T")

S = 1_000_000_000
WAIT_S_MAX = 7 * 86_400
"""The longest wait a venue is believed to mean; how long one is obeyed the gateway decides."""
NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""What fails before the first byte."""
TIMEOUT = aiohttp.ClientTimeout(sock_connect=5.0, sock_read=10.0)
KEEPALIVE_S = 120.0
"""How long a quiet connection stays open: to open one takes three times the way to the venue. Some
clouds forget a quiet connection after four minutes and say nothing: what is sent then is in doubt.
"""
CHATTY = ("hpack", "httpcore", "httpx")
"""Libraries that write request headers, and so our API key, to their debug logs."""


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return what all our connections trust: to read the world's certificates stops the loop 50 ms.

    It is ours alone: another library's clients keep what they were given.
    """
    return httpx.create_ssl_context()


_compact = json.JSONEncoder(separators=(",", ":")).encode


class HttpAnswer(msgspec.Struct, frozen=True):
    """An answer as the SDK's judgement reads it."""

    status_code: int
    headers: Any
    content: bytes
    url: str

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return what it says. Raises ValueError where that is no JSON."""
        return json.loads(self.content)


class Transport(AsyncTransport):
    """The SDK's transport over aiohttp, at a quarter of httpx's time. Each request is sent once."""

    def __init__(
        self,
        base_url: str,
        header_resolver: HeaderResolver | None = None,
        on_rate_limit_update: Callable[[RateLimitUpdate], None] | None = None,
    ) -> None:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_tls(), keepalive_timeout=KEEPALIVE_S),
            timeout=TIMEOUT,
            proxy=_proxy(base_url),
        )
        # What is sent again, and when, the engine decides: a cancel, too.
        self.session._retry_connection = False  # noqa: SLF001 there is no public word for it
        super().__init__(
            base_url=base_url,
            client=self.session,  # type: ignore[arg-type]
            header_resolver=header_resolver,
            on_rate_limit_update=on_rate_limit_update,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.session.close()

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: PlainView | None = None,
        json: object | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: object | None = None,  # noqa: ASYNC109 the SDK's word; ours is `TIMEOUT`
    ) -> Any:
        """Send a request; `json` as bytes leaves as it is."""
        del timeout
        body = json if isinstance(json, bytes) or json is None else _compact(json).encode()
        given = dict(headers or ())
        if body is not None:
            given["Content-Type"] = "application/json"
        if self._header_resolver is not None:
            given |= await self._header_resolver(method, path, body.decode() if body else None)
        try:
            async with self.session.request(
                method,
                self._base_url + path,
                params=_clean_params(params),
                data=body,
                headers=given,
                allow_redirects=False,
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise TransportError("Request failed") from error
        response: Any = HttpAnswer(answer.status, answer.headers, content, str(answer.url))
        _notify_rate_limit_update(self._on_rate_limit_update, None, response)
        _raise_for_response_status(response, path=path)
        return response


def _proxy(url: str) -> str | None:
    """Return the environment's proxy for an address, as httpx would take it."""
    parts, known = urlsplit(url), getproxies()
    if proxy_bypass(parts.hostname or ""):
        return None
    return known.get(parts.scheme) or known.get("all")


CONTRACTS = {
    "standard_exchange": "exchange",
    "neg_risk_exchange": "neg-risk exchange",
    "exchange_v3": "exchange of protocol 2",
    "collateral_adapter": "split, merge and redeem",
    "neg_risk_collateral_adapter": "split, merge and redeem of neg-risk markets",
    "protocol_v2_router": "router of protocol 2",
    "auto_redeem_operator": "automatic redemption",
    "binary_module": "module of protocol 2 for single markets",
    "neg_risk_module": "module of protocol 2 for neg-risk markets",
    "collateral_token": "pUSD",
    "conditional_tokens": "outcome tokens",
    "position_manager": "outcome tokens of protocol 2",
}
"""The venue's contracts that matter to trading, by the SDK's name (trading API, §2.7 and §6.2)."""


class RelayerCalls:
    """What a wallet's transaction does, and the relayer that carries it to the chain for free.

    Signing and submitting are two steps here where the SDK's own methods do both at once and then
    submit again by themselves: what was signed must be on record before it leaves.
    """

    def __init__(
        self,
        signer: LocalAccount,
        wallet: str,
        wallet_type: Any,
        key: tuple[str, str, str],
        config: Any,
    ) -> None:
        given = (
            BuilderApiKey(key=key[0], secret=key[1], passphrase=key[2])
            if key[1]
            else RelayerApiKey(key=key[0], address=signer.address)
        )
        self._signer, self._wallet, self._config = signer, EvmAddress(wallet), config
        self._transport = Transport(config.relayer_url, make_relayer_header_resolver(given))
        self._type = {
            "DEPOSIT_WALLET": RelayerTransactionType.WALLET,
            "GNOSIS_SAFE": RelayerTransactionType.SAFE,
        }.get(wallet_type)

    def __repr__(self) -> str:
        return f"RelayerCalls(wallet={self._wallet}, <hidden>)"

    async def close(self) -> None:
        await self._transport.close()

    async def nonce(self) -> int:
        """Ask for the wallet's next number. Raises as `Wire.post`, NotSent for other wallets."""
        if self._type is None:
            raise NotSent(
                "this wallet has no relayer: deposit wallets and Safes can do it here, others at "
                "the venue"
            )
        ask = fetch_execute_params(self._transport, address=self._signer.address, type=self._type)
        return int((await _ask(ask)).nonce)

    def sign(
        self, calls: list[TransactionCall], nonce: int, until_s: int, words: str
    ) -> tuple[OperationName, object]:
        """Sign a transaction; return its name and what `submit` takes. Nothing leaves.

        A Safe's has no deadline.
        """
        if self._type is RelayerTransactionType.WALLET:
            signature, envelope = self._sign_wallet(calls, str(nonce), str(until_s), words)
        else:
            until_s = 0
            signature, envelope = self._sign_safe(calls, str(nonce), words)
        identity = "0x" + keccak(bytes.fromhex(signature.removeprefix("0x"))).hex()
        return OperationName(identity=identity, nonce=nonce, until_ns=until_s * S), envelope

    def _sign_wallet(
        self, calls: list[TransactionCall], nonce: str, deadline: str, words: str
    ) -> tuple[str, object]:
        signature = sign_deposit_wallet_batch(
            self._signer,
            wallet=self._wallet,
            calls=calls,
            nonce=nonce,
            deadline=deadline,
            chain_id=self._config.chain_id,
        )
        envelope = build_deposit_wallet_payload(
            signer_address=self._signer.address,
            deposit_wallet_factory=self._config.wallet_derivation.deposit_wallet_factory,
            wallet=self._wallet,
            calls=calls,
            nonce=nonce,
            deadline=deadline,
            signature=signature,
            metadata=words,
        )
        return signature, envelope

    def _sign_safe(
        self, calls: list[TransactionCall], nonce: str, words: str
    ) -> tuple[str, object]:
        target, data, value, kind = _resolve_safe_call(self._config.safe_multisend, calls)
        signature = sign_safe_transaction(
            self._signer,
            safe_address=self._wallet,
            to=target,
            data=data,
            value=value,
            operation=kind,
            nonce=nonce,
            chain_id=self._config.chain_id,
        )
        envelope = build_safe_payload(
            signer_address=self._signer.address,
            wallet=self._wallet,
            target=target,
            data=data,
            value=value,
            operation=kind,
            nonce=nonce,
            signature=signature,
            metadata=words,
        )
        return signature, envelope

    async def submit(self, envelope: Any) -> Any:
        """Hand over what was signed, once. Raises as `Wire.post`."""
        return await _ask(self._transport.post_json("/submit", json=envelope))

    async def transaction(self, name: str) -> Any:
        """Ask how far a transaction is. Raises as `Wire.post`."""
        return await _ask(self._transport.get_json(f"/v1/account/transactions/{name}"))

    def pairs(self, kind: str, condition: str, size: int, *, neg_risk: bool, v2: bool) -> Any:
        """Return the call that splits or merges `size` pairs of a market, or redeems it (v1)."""
        config = self._config
        adapter = config.neg_risk_collateral_adapter if neg_risk else config.collateral_adapter
        if v2:
            router = {"split": router_split_call, "merge": router_merge_call}[kind]
            return router(router=config.protocol_v2_router, condition_id=condition, amount=size)
        given = {"collateral": config.collateral_token, "condition_id": condition}
        if kind == "redeem":
            return ctf_redeem_positions_call(ctf=adapter, **given)
        made = {"split": ctf_split_position_call, "merge": ctf_merge_positions_call}[kind]
        return made(target=adapter, amount=size, **given)

    def redeem_v2(self, condition: str, token: str, size: int) -> Any:
        """Return the call that redeems one outcome's tokens of a market of protocol version 2."""
        return router_redeem_call(
            router=self._config.protocol_v2_router,
            condition_id=condition,
            outcome_index=outcome_of(token),
            amount=size,
        )

    def approvals(self, body: object) -> list[TransactionCall]:
        """Return the calls that give what leave is missing, by an answer of /v2/approvals.

        Raises OutcomeUnknown where it cannot be read.
        """
        spec = build_get_trading_approvals_state_spec(wallet=self._wallet, config=self._config)
        try:
            return build_missing_trading_approval_calls(spec.parse(body).missing)
        except UnexpectedResponseError as error:
            raise OutcomeUnknown(f"the venue's approvals cannot be read: {error}") from None


class Wire:
    """Signed requests of one account, in two lanes with connections of their own."""

    def __init__(
        self,
        signer: LocalAccount,
        wallet: str,
        wallet_type: Any,
        key: ApiKeyCreds,
        config: Any,
        *,
        relayer: tuple[str, str, str] | None = None,
    ) -> None:
        self.relayer = (
            RelayerCalls(signer, wallet, wallet_type, relayer, config) if relayer else None
        )
        """None = the credential has no key of it."""
        self._data = Transport(config.data_url)
        sign = _make_l2_header_resolver(signer, key)
        self._places = Transport(config.clob_url, sign)
        self._safety = Transport(config.clob_url, sign)
        self._credentials = key
        self.user_url = str(config.clob_user_ws_url)
        self.wallet = wallet
        self.signer = str(signer.address)
        self.signature_type = signature_type_for(wallet_type)
        self.api_key = key.key
        self.contracts = {getattr(config, one).lower(): name for one, name in CONTRACTS.items()}
        """What each contract is, by its address in small letters."""
        self.exchanges = Exchanges(
            standard=config.standard_exchange,
            neg_risk=config.neg_risk_exchange,
            v3=config.exchange_v3,
        )

    def __repr__(self) -> str:
        return f"Wire(wallet={self.wallet}, <hidden>)"

    @classmethod
    async def open(
        cls, credentials: Credentials, *, now_ns: Callable[[], int], urls: Mapping[str, str]
    ) -> Self:
        """Find or derive the API key and open the connections; nothing is sent to the chain.

        `urls` as the plug-in names them. Raises ConfigError for a wallet this key does not own,
        AuthRefused, NotSent, OutcomeUnknown.
        """
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        config = _config(urls)
        signer = Account.from_key(credentials.private_key())
        wallet = str(to_checksum_address(credentials.wallet))
        account = classify_account(
            signer=signer.address, wallet=wallet, config=config.wallet_derivation
        )
        if account.signer_type != "OWNER":
            raise ConfigError(
                f"{credentials.wallet} is not a wallet of this private key: check which one is "
                "meant"
            )
        api = credentials.api()
        if api is None:
            key = await _find_key(signer, config, now_ns() // S)
        else:
            key = ApiKeyCreds.model_validate(
                {"apiKey": api[0], "secret": api[1], "passphrase": api[2]}
            )
        return cls(signer, wallet, account.wallet_type, key, config, relayer=credentials.relayer())

    async def close(self) -> None:
        """Close the connections."""
        await self._places.close()
        await self._safety.close()
        await self._data.close()
        if self.relayer is not None:
            await self.relayer.close()

    def login(self) -> bytes:
        """Return the sign-in frame of the user channel, for all markets; it holds the secret."""
        key = self._credentials
        auth = {"apiKey": key.key, "secret": key.secret, "passphrase": key.passphrase}
        return json.dumps({"type": "user", "auth": auth}).encode()

    def on_rate(self, receive: Callable[[str | None, float | None], None]) -> None:
        """Give `receive` (tier, tokens left) of each answer to a place; what it raises is lost."""

        def update(said: RateLimitUpdate) -> None:
            receive(said.tier, said.remaining)

        self._places._on_rate_limit_update = update  # noqa: SLF001 known after the connection

    async def place(self, path: str, body: bytes) -> Any:
        """Send compact JSON on the lane of places. Raises as `post`."""
        return await _ask(self._places.post_json(path, json=body))

    async def post(self, path: str, body: bytes) -> Any:
        """Send compact JSON. Raises VenueRefusal, NotSent, OutcomeUnknown."""
        return await _ask(self._safety.post_json(path, json=body))

    async def delete(self, path: str, given: object | None = None) -> Any:
        """Send a cancel. Raises as `post`."""
        return await _ask(self._safety.delete_json(path, json=given))

    async def get(self, path: str, **params: str | int) -> Any:
        """Ask the CLOB. Raises as `post`."""
        return await _ask(self._safety.get_json(path, params=params))

    async def get_data(self, path: str, **params: str | int) -> Any:
        """Ask the Data API, which needs no key. Raises as `post`."""
        return await _ask(self._data.get_json(path, params=params))

    async def touch(self, path: str, **params: str | int) -> None:
        """Ask the CLOB where the body of the answer means nothing. Raises as `post`."""
        await _ask(self._safety.get_bytes(path, params=params))

    @staticmethod
    def is_v2(token: str) -> bool:
        """Say whether a token is a position of protocol version 2."""
        return is_v2_position_id(token)


def _config(urls: Mapping[str, str]) -> Any:
    return dataclasses.replace(
        PRODUCTION_CONFIG,
        clob_url=urls["clob"],
        data_url=urls["data"],
        relayer_url=urls["relayer"],
        clob_user_ws_url=f"{urls['ws']}/ws/user",
    )


async def _find_key(signer: LocalAccount, config: Any, now_s: int) -> ApiKeyCreds:
    """Derive the account's API key; create one only where there is none yet."""
    signed = sign_api_key_auth(signer, chain_id=config.chain_id, timestamp=now_s, nonce=0)
    transport = Transport(config.clob_url)
    try:
        try:
            return await _ask(derive_api_key(transport, signed))
        except VenueRefusal as refusal:
            if refusal.status != 400:
                raise
        return await _ask(create_api_key(transport, signed))
    except VenueRefusal as refusal:
        raise_common(refusal)
        text = f"Polymarket gives this signer no API key: {refusal}. Check the private key"
        raise AuthRefused(text) from None
    finally:
        await transport.close()


async def _ask(call: Awaitable[T]) -> T:
    """Await the SDK; give its answer, or our own words for what went wrong.

    Causes are cut off (`from None`): requests hang on the SDK's errors, and headers on requests.
    """
    try:
        return await call
    except OrderHeartbeatMismatchError as error:
        raise HeartbeatRefused(error.heartbeat_id) from None
    except RequestRejectedError as error:
        raise VenueRefusal(
            error.status,
            str(error),
            code=error.code or "",
            retry_after_ns=_wait_ns(error.retry_after),
        ) from None
    except RateLimitError as error:
        raise VenueRefusal(429, str(error), retry_after_ns=_wait_ns(error.retry_after)) from None
    except TransportError as error:
        if isinstance(error.__cause__, NEVER_SENT):
            raise NotSent(f"Polymarket cannot be reached: {_kind(error.__cause__)}") from None
        raise OutcomeUnknown(f"no answer from Polymarket: {_kind(error.__cause__)}") from None
    except UnexpectedResponseError:
        raise VenueDown("Polymarket's answer cannot be read: a page in place of JSON?") from None
    except Exception as error:  # noqa: BLE001 - architecture §9: the bytes may have left
        # The one broad except of this room.
        raise OutcomeUnknown(f"the SDK failed with {type(error).__name__}") from None


def outcome_of(token: str) -> int:
    """Return the contract's number of a token's outcome, which its id ends with (protocol v2).

    A label says nothing of it: the market's first outcome may be "Down". Raises BadInput.
    """
    try:
        return decode_v2_outcome_position_id(token).outcome_index
    except UserInputError as error:
        raise BadInput(f"token {token[:80]} names no outcome: {error}") from None


def _wait_ns(seconds: float | None) -> int:
    """Return a hint to wait in ns; 0 where there is none, or none that can be meant."""
    if seconds is None or not 0 < seconds <= WAIT_S_MAX:
        return 0 if seconds is None or not seconds > 0 else WAIT_S_MAX * S
    return int(seconds * S)


def _kind(error: BaseException | None) -> str:
    return type(error).__name__
