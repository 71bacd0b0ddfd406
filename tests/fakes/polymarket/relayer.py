"""The relayer and a little of the chain, over HTTP (polymarket.md §6.3, §8 H).

A deposit wallet's batch must be signed by its owner; what the calls do is `chain`'s.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError

from engine.domain.instruments import AccountId
from tests.fakes.polymarket.chain import selector
from tests.fakes.polymarket.contracts import CHAIN, DEPOSIT_WALLET_BEACON
from tests.fakes.polymarket.refusal import Refused
from tests.fakes.polymarket.signing import (
    address,
    batch_message,
    recover,
    wallets_of,
)
from tests.fakes.polymarket.venue import Venue
from tests.fakes.polymarket.web import answer, body_of, venue_of

MAX = 2**256 - 1
routes = web.RouteTableDef()


# -- relayer ---------------------------------------------------------------------------------------


@routes.get("/deployed")
async def deployed(request: web.Request) -> web.Response:
    """Say whether a wallet stands on the chain."""
    venue = venue_of(request)
    wallet = address(request.query.get("address"))
    return answer({"deployed": wallet not in venue.ledger.undeployed})


@routes.get("/v1/account/transactions/params")
@routes.get("/relay-payload")
async def params(request: web.Request) -> web.Response:
    """Return the next nonce of a signer."""
    venue, signer = venue_of(request), address(request.query.get("address"))
    venue.pump()
    nonce = venue.relayer.nonces.get(signer, 0)
    return answer({"address": signer, "nonce": str(nonce)})


@routes.post("/submit")
async def submit(request: web.Request) -> web.Response:
    """Take a transaction. A deposit wallet's batch must be signed by its owner."""
    venue, body = venue_of(request), await body_of(request)
    venue.pump()
    if not {"RELAYER_API_KEY", "POLY_BUILDER_API_KEY"} & set(request.headers):
        raise Refused("invalid authorization", 401)
    try:
        signer, kind = address(body["from"]), str(body["type"])
        wallet, calls, deadline_s = _read(venue, body, signer, kind)
        nonce = int(body.get("nonce", venue.relayer.nonces.get(signer, 0)))
    except (KeyError, TypeError, ValueError, DecodingError) as error:
        raise Refused(f"invalid payload: {error}") from None
    sent = venue.relayer.take(signer, wallet, calls, nonce, deadline_s)
    return answer({"transactionID": sent.id, "transactionHash": "", "state": "STATE_NEW"})


def _read(
    venue: Venue, body: dict[str, Any], signer: str, kind: str
) -> tuple[str, list[bytes], int]:
    known = wallets_of(signer)
    if kind == "WALLET-CREATE":
        venue.ledger.undeployed.discard(known.deposit_beacon)
        return known.deposit_beacon, [], 0
    if kind == "WALLET":
        return _batch(venue, body, signer)
    data = bytes.fromhex(str(body["data"]).removeprefix("0x"))
    if kind == "PROXY":
        (tuples,) = abi_decode(["(uint8,address,uint256,bytes)[]"], data[4:])
        return known.proxy, [inner for _, _, _, inner in tuples], 0
    return known.safe, _multisend(data), 0


def _multisend(data: bytes) -> list[bytes]:
    if data[:4] != selector("multiSend(bytes)"):
        return [data]
    (packed,) = abi_decode(["bytes"], data[4:])
    calls = []
    while packed:
        size = int.from_bytes(packed[53:85], "big")
        calls.append(packed[85 : 85 + size])
        packed = packed[85 + size :]
    return calls


def _batch(venue: Venue, body: dict[str, Any], signer: str) -> tuple[str, list[bytes], int]:
    given = body["depositWalletParams"]
    wallet, nonce = address(given["depositWallet"]), int(body["nonce"])
    calls = [
        {
            "target": call["target"],
            "value": int(call["value"]),
            "data": bytes.fromhex(call["data"].removeprefix("0x")),
        }
        for call in given["calls"]
    ]
    message = batch_message(wallet, nonce, int(given["deadline"]), calls)
    signature = bytes.fromhex(str(body["signature"]).removeprefix("0x"))
    if recover(message, signature) != signer or wallets_of(signer).kind(wallet) != 3:
        raise Refused("invalid signature")
    if int(given["deadline"]) < venue.clock.server_s():
        raise Refused("deadline expired")
    return wallet, [call["data"] for call in calls], int(given["deadline"])


@routes.get("/v1/account/transactions/{id}")
async def transaction(request: web.Request) -> web.Response:
    """Return a transaction's state."""
    venue = venue_of(request)
    venue.pump()
    sent = venue.relayer.sent.get(request.match_info["id"])
    if sent is None:
        raise Refused("transaction not found", 404)
    state = venue.relayer.state_of(sent)
    return answer(
        {
            "transaction_id": sent.id,
            "transaction_hash": "" if state == "STATE_NEW" else sent.on_chain,
            "state": state,
            "error_msg": sent.error or None,
        }
    )


# -- JSON-RPC --------------------------------------------------------------------------------------


@routes.post("/")
async def rpc(request: web.Request) -> web.Response:
    """Answer what a client asks of the chain, one question or a batch."""
    venue, body = venue_of(request), await body_of(request)
    if isinstance(body, list):
        return answer([_rpc(venue, question) for question in body])
    return answer(_rpc(venue, body))


def _rpc(venue: Venue, question: dict[str, Any]) -> dict[str, Any]:
    method, args = question.get("method", ""), question.get("params", [])
    plain = {
        "eth_chainId": hex(CHAIN),
        "eth_blockNumber": "0x1",
        "eth_gasPrice": "0x6fc23ac00",
        "eth_maxPriorityFeePerGas": "0x6fc23ac00",
        "eth_estimateGas": hex(200_000),
        "eth_getCode": "0x00",
        "eth_getTransactionCount": "0x0",
        "eth_getBlockByNumber": {"number": "0x1", "timestamp": hex(int(venue.clock.server_s()))},
    }
    head = {"jsonrpc": "2.0", "id": question.get("id")}
    if method == "eth_call":
        return head | {"result": _call(venue, bytes.fromhex(args[0]["data"].removeprefix("0x")))}
    if method in plain:
        return head | {"result": plain[method]}
    return head | {"error": {"code": -32601, "message": f"{method} is not simulated here"}}


def _call(venue: Venue, data: bytes) -> str:
    name, rest = data[:4], data[4:]
    if name == bytes.fromhex("49493a4d"):
        found = abi_encode(["address"], [DEPOSIT_WALLET_BEACON])
    elif name == selector("allowance(address,address)"):
        owner, _ = abi_decode(["address", "address"], rest)
        found = abi_encode(["uint256"], [venue.ledger.allowances.get(_account(owner), MAX)])
    elif name == selector("isApprovedForAll(address,address)"):
        found = abi_encode(["bool"], [True])
    elif name == selector("balanceOf(address,uint256)"):
        owner, token = abi_decode(["address", "uint256"], rest)
        found = abi_encode(["uint256"], [_held(venue, owner, token)])
    elif name == selector("balanceOfBatch(address[],uint256[])"):
        owners, tokens = abi_decode(["address[]", "uint256[]"], rest)
        pairs = zip(owners, tokens, strict=True)
        found = abi_encode(["uint256[]"], [[_held(venue, *pair) for pair in pairs]])
    else:
        found = bytes(32)
    return "0x" + found.hex()


def _account(owner: str) -> AccountId:
    return AccountId(address(owner))


def _held(venue: Venue, owner: str, token: int) -> int:
    account = _account(owner)
    if account not in venue.ledger.signers or str(token) not in venue.ledger.tokens:
        return 0
    return venue.ledger.on_chain(account, str(token))
