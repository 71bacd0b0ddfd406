"""Fault scripts: what goes wrong on purpose, where, how often and until when.

A fault is one thing at one place; a script is a named set of faults, or a window of the venue.
Chance is drawn from the venue's seed, so a run depends on nothing but seed and requests.
"""

from __future__ import annotations

import re
from random import Random
from typing import Any

import msgspec

from engine.errors import BadInput
from tests.fakes.polymarket.settings import S, Settings

KINDS = {
    "status": "answer with args.status and args.body instead of doing anything",
    "late_status": "do it, then answer with args.status and args.body",
    "drop": "close the connection without doing anything",
    "drop_after": "do it, then close the connection without an answer",
    "hang": "answer nothing for args.s seconds, then close",
    "latency": "wait args.ms, and up to args.jitter_ms more, first",
    "garble": "do it, then answer 200 with args.body",
    "stale_book": "GET /book and /books answer what they answered when the fault began",
    "ws_freeze": "a channel's data stops; PONG stays alive",
    "ws_drop": "frames of args.event are lost",
}
CLOUDFLARE = (
    "<!DOCTYPE html><html><head><title>{title}</title></head>"
    "<body><h1>{title}</h1><p>Cloudflare Ray ID: 8a1b2c3d4e5f6789</p></body></html>"
)
ORDER_POSTS = r"/orders?$"
SUBMIT = r"/submit$"


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One thing that goes wrong. `path` is a regular expression of the path, or the channel."""

    kind: str
    path: str = ".*"
    method: str = ""
    times: int = 0
    """How often; 0 = as long as it stands."""
    chance: float = 1.0
    for_s: float = 0.0
    """How long; 0 = until it is removed."""
    args: dict[str, Any] = {}
    name: str = ""
    hits: int = 0
    until_ns: int = 0
    left: int = 0


def _html(status: int, title: str) -> dict[str, Any]:
    return {"status": status, "body": CLOUDFLARE.format(title=title), "type": "text/html"}


def _error(status: int, text: str) -> dict[str, Any]:
    return {"status": status, "body": {"error": text}}


SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "cloudflare_403": [
        {"kind": "status", "method": "POST", "path": ORDER_POSTS, "args": _html(403, "Forbidden")}
    ],
    "cloudflare_502": [{"kind": "status", "args": _html(502, "502: Bad gateway")}],
    "not_ready": [{"kind": "status", "args": _error(503, "Service is not ready")}],
    "rate_limited": [
        {
            "kind": "status",
            "path": ORDER_POSTS,
            "args": _error(429, "Too Many Requests") | {"headers": {"Retry-After": "1"}},
        }
    ],
    "lost_order_500": [
        {
            "kind": "status",
            "method": "POST",
            "path": ORDER_POSTS,
            "args": _error(500, "could not insert order"),
        }
    ],
    "resting_order_500": [
        {
            "kind": "late_status",
            "method": "POST",
            "path": ORDER_POSTS,
            "args": _error(500, "could not insert order"),
        }
    ],
    "no_reply": [{"kind": "drop_after", "method": "POST", "path": ORDER_POSTS}],
    "never_arrived": [{"kind": "drop", "method": "POST", "path": ORDER_POSTS}],
    "no_cancel_reply": [{"kind": "drop_after", "method": "DELETE"}],
    "hang": [{"kind": "hang", "method": "POST", "path": ORDER_POSTS, "args": {"s": 15}}],
    "garbled": [{"kind": "garble", "method": "POST", "path": ORDER_POSTS, "args": {"body": "{"}}],
    "silent_relayer": [{"kind": "drop_after", "method": "POST", "path": SUBMIT}],
    "deaf_relayer": [{"kind": "drop", "method": "POST", "path": SUBMIT}],
    "mad_relayer": [
        {"kind": "garble", "method": "POST", "path": SUBMIT, "args": {"body": {"state": "STATE_?"}}}
    ],
    "mute_relayer": [
        {"kind": "status", "path": r"/v1/account/transactions/(?!params)", "args": _error(502, "x")}
    ],
    "slow": [{"kind": "latency", "args": {"ms": 150, "jitter_ms": 150}}],
    "unauthorized": [
        {
            "kind": "status",
            "path": r"/(order|data|v1|balance|cancel)",
            "args": _error(401, "Unauthorized/Invalid api key"),
        }
    ],
    "heartbeat_401": [
        {
            "kind": "status",
            "path": r"/v1/heartbeats$",
            "args": _error(401, "Unauthorized/Invalid api key"),
        }
    ],
    "market_ws_freeze": [{"kind": "ws_freeze", "path": "market"}],
    "user_ws_freeze": [{"kind": "ws_freeze", "path": "user"}],
    "lost_change": [
        {"kind": "ws_drop", "path": "market", "times": 1, "args": {"event": "price_change"}}
    ],
    "lost_user_event": [{"kind": "ws_drop", "path": "user", "times": 1}],
    "stale_book": [{"kind": "stale_book"}],
}


TEXTS = {
    "invalid_nonce": (400, "invalid nonce"),
    "canceled_on_chain": (400, "order canceled in the CTF exchange contract"),
    "match_delayed": (400, "order match delayed due to market conditions"),
    "old_key": (401, "Invalid API key"),
    "token_rate_limited": (429, "Rate limit exceeded for tokenId: 7132"),
    "no_matching_orders": (500, "there are no matching orders"),
    "rounding_issues": (500, "the trade contains rounding issues"),
    "price_discrepancy": (
        500,
        "the price of the taker's order has a discrepancy greater than allowed "
        "with the worst maker order",
    ),
    "internal_error": (500, "Internal server error"),
}
"""Answers of the venue whose causes are not simulated here (polymarket.md §3.3)."""

for _name, (_status, _text) in TEXTS.items():
    _args = _error(_status, _text)
    SCRIPTS[_name] = [{"kind": "status", "method": "POST", "path": ORDER_POSTS, "args": _args}]


class Faults:
    """The faults that stand."""

    def __init__(self, settings: Settings) -> None:
        self._rng = Random(settings.seed ^ 0xFA017)
        self.standing: list[Fault] = []
        self.hits: dict[str, int] = {}
        """How often each fault struck, by name."""

    def add(self, given: dict[str, Any], now_ns: int) -> Fault:
        """Let a fault stand from now. Raises BadInput."""
        try:
            fault = msgspec.convert(given, Fault)
            re.compile(fault.path)
        except (msgspec.ValidationError, re.error) as error:
            raise BadInput(f"fault: {error}") from error
        if fault.kind not in KINDS:
            raise BadInput(f"fault: {fault.kind!r} is not one of {', '.join(sorted(KINDS))}")
        fault.name = fault.name or fault.kind
        fault.left = fault.times
        fault.until_ns = now_ns + int(fault.for_s * S) if fault.for_s else 0
        self.standing.append(fault)
        return fault

    def script(self, name: str, now_ns: int, changes: dict[str, Any]) -> list[Fault]:
        """Let a named script stand; `changes` overrule times, chance and the like."""
        if name not in SCRIPTS:
            raise BadInput(f"{name!r} is not one of {', '.join(sorted(SCRIPTS))}")
        given = [dict(fault) | changes | {"name": name} for fault in SCRIPTS[name]]
        return [self.add(fault, now_ns) for fault in given]

    def clear(self, name: str = "") -> None:
        """Remove the faults of a name, or all."""
        self.standing = [fault for fault in self.standing if name and fault.name != name]

    def strike(
        self, kinds: tuple[str, ...], where: str, now_ns: int, *, method: str = "", event: str = ""
    ) -> Fault | None:
        """Return the fault that strikes here and now, counting it; None = all is well."""
        for fault in list(self.standing):
            if fault.until_ns and now_ns >= fault.until_ns:
                self.standing.remove(fault)
                continue
            if fault.kind not in kinds or (fault.method and fault.method != method):
                continue
            if re.match(fault.path, where) is None or fault.args.get("event", event) != event:
                continue
            if fault.chance < 1 and self._rng.random() >= fault.chance:
                continue
            self._count(fault)
            return fault
        return None

    def _count(self, fault: Fault) -> None:
        fault.hits += 1
        self.hits[fault.name] = self.hits.get(fault.name, 0) + 1
        if fault.times:
            fault.left -= 1
            if not fault.left:
                self.standing.remove(fault)

    def draw(self) -> float:
        """Return a number of the faults' own generator, between 0 and 1."""
        return self._rng.random()
