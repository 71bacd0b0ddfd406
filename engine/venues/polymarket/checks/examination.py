"""What must be well before an account trades real money: the venue is asked, nothing is changed.

Every finding says what was found and the sentence that mends it. A question without an answer is a
failure, never taken for well. Where Polymarket takes no orders from, nothing here helps around it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from typing import Any

import httpx

from engine.clock import WallClock
from engine.domain.catalog import Finding, Grade
from engine.domain.plain import PlainView
from engine.errors import AuthRefused, ConfigError, NotSent, PitbossError
from engine.runtime.credentials import Credential
from engine.runtime.venue_plugin import VenueSetup
from engine.venues.polymarket.account.credentials import Credentials
from engine.venues.polymarket.account.listings import clob_rows
from engine.venues.polymarket.account.outcomes import VenueRefusal
from engine.venues.polymarket.account.pace import TIERS
from engine.venues.polymarket.account.sdk import Wire
from engine.venues.polymarket.checks.canary import sdk

S = 1_000_000_000
SKEW_NS_WARN = 2 * S
SKEW_NS_MAX = 10 * S
"""Signed requests carry our clock's second; ten is where the venue's patience is not known."""

WALLETS = {0: "EOA", 1: "proxy", 2: "Safe", 3: "deposit wallet"}
MICRO = 1_000_000
CASH_MICRO_MIN = 5 * MICRO
"""Five shares, the usual smallest order, at one dollar."""


Question = Callable[[], Awaitable[Finding]]


async def examined(
    setup: VenueSetup, credential: Credential, orders_known: Container[str]
) -> list[Finding]:
    """Open the account's connections, ask, close them."""
    now_ns, geoblock_url = WallClock().now_ns, setup.urls["geoblock"]
    try:
        wire = await Wire.open(Credentials.of(credential), now_ns=now_ns, urls=setup.urls)
    except PitbossError as error:
        seen = await from_outside(
            clob_url=setup.urls["clob"], geoblock_url=geoblock_url, now_ns=now_ns
        )
        return [*seen, _unopened(error, seen)]
    try:
        return await examine(
            wire, geoblock_url=geoblock_url, now_ns=now_ns, orders_known=orders_known
        )
    finally:
        await wire.close()


def _unopened(error: PitbossError, seen: Sequence[Finding]) -> Finding:
    """Return why an account does not open, and what helps after what was seen from outside."""
    if isinstance(error, ConfigError):
        fix = "set the credential again with the wallet that belongs to its key"
        return Finding("key", Grade.FAIL, str(error), fix)
    failed = ", ".join(one.name for one in seen if one.grade is Grade.FAIL)
    fix = "set the credential again" if isinstance(error, AuthRefused) else "try again in a minute"
    fix = f"first fix what else failed: {failed}" if failed else fix
    name = "key" if isinstance(error, AuthRefused) else "venue"
    return Finding(name, Grade.FAIL, str(error), fix)


async def examine(
    wire: Wire, *, geoblock_url: str, now_ns: Callable[[], int], orders_known: Container[str]
) -> list[Finding]:
    """Return every finding about the account behind `wire`.

    `orders_known` are the identities of orders the journal knows: open ones of this key that are
    not among them belong to another program or to a person.
    """
    questions: dict[str, Question] = {
        "geoblock": lambda: geoblock(geoblock_url),
        "clock": lambda: clock(lambda: wire.get("/time"), now_ns),
        "key": lambda: api_key(wire),
        "closed-only": lambda: closed_only(wire),
        "money": lambda: money(wire),
        "tier": lambda: tier(wire),
        "relayer": lambda: relayer(wire),
        "alone": lambda: alone(wire, orders_known),
    }
    return [sdk(), wallet(wire), *await _answers(questions)]


async def from_outside(
    *, clob_url: str, geoblock_url: str, now_ns: Callable[[], int]
) -> list[Finding]:
    """Return what can be found out without an API key, where the venue gives or takes none.

    A clock that is off and a place that is blocked look like a wrong key: both are asked about.
    """
    questions: dict[str, Question] = {
        "geoblock": lambda: geoblock(geoblock_url),
        "clock": lambda: clock(lambda: _asked(f"{clob_url}/time", "time"), now_ns),
    }
    return [sdk(), *await _answers(questions)]


async def _answers(questions: Mapping[str, Question]) -> list[Finding]:
    """Ask; a question that fails is a finding that fails."""
    found = []
    for name, question in questions.items():
        try:
            found.append(await question())
        except (
            PitbossError,
            VenueRefusal,
            httpx.HTTPError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
        ) as error:
            text = (
                str(error)
                if isinstance(error, PitbossError | VenueRefusal)
                else type(error).__name__
            )
            said = f"could not be asked: {text}"
            found.append(Finding(name, Grade.FAIL, said, _mends(error)))
    return found


def _mends(error: Exception) -> str:
    """Return what helps where a question was not answered."""
    if isinstance(error, AuthRefused) or (isinstance(error, VenueRefusal) and error.status == 401):
        return "wait two minutes if the API key is new; else set the credential again"
    if isinstance(error, VenueRefusal) and "banned" in error.text.lower():
        return "ask Polymarket's support why; it cannot be solved here"
    return "try again in a minute"


def wallet(wire: Wire) -> Finding:
    """Tell the wallet's kind."""
    kind = WALLETS.get(wire.signature_type)
    said = f"{wire.wallet}, {kind or 'of an unknown kind'}"
    if kind is None:
        return Finding("wallet", Grade.FAIL, said, "trade with a wallet created by Polymarket")
    if wire.signature_type == 0:
        fix = (
            "orders of accounts created today are accepted only from a deposit wallet: if yours is "
            "one, set the key again with that wallet's address; an EOA pays gas in POL, too"
        )
        return Finding("wallet", Grade.WARN, said, fix)
    return Finding("wallet", Grade.OK, said)


async def _asked(url: str, what: str) -> Any:
    async with httpx.AsyncClient(timeout=10) as client:
        response = await client.get(url)
    if response.status_code != 200:
        raise NotSent(f"the {what} request was answered {response.status_code}")
    return response.json()


async def geoblock(url: str) -> Finding:
    """Ask whether orders are taken from where this machine stands (reference §3.7)."""
    answer = await _asked(url, "geoblock")
    place = f"{answer.get('country') or '?'} {answer.get('region') or ''}".strip()
    if answer["blocked"] is not False:
        return Finding(
            "geoblock",
            Grade.FAIL,
            f"Polymarket accepts no orders from here ({place})",
            "trade from where it does; this program does not work around it",
        )
    return Finding("geoblock", Grade.OK, f"orders are accepted from here ({place})")


async def clock(ask: Callable[[], Awaitable[Any]], now_ns: Callable[[], int]) -> Finding:
    """Compare our clock with the venue's, which tells whole seconds when asked."""
    before = now_ns()
    venue_s = int(await ask())
    after = now_ns()
    ahead, behind = before - (venue_s + 1) * S, venue_s * S - after
    skew_ns = max(ahead, behind, 0)
    said = f"within {skew_ns / S:.1f} s of the venue's clock, to whole seconds"
    fix = "let the system keep its time by NTP"
    if skew_ns > SKEW_NS_MAX:
        return Finding("clock", Grade.FAIL, f"{skew_ns / S:.1f} s off the venue's", fix)
    if skew_ns > SKEW_NS_WARN:
        return Finding("clock", Grade.WARN, f"{skew_ns / S:.1f} s off the venue's", fix)
    return Finding("clock", Grade.OK, said)


async def api_key(wire: Wire) -> Finding:
    """Ask whether the venue knows our API key."""
    answer = await wire.get("/auth/api-keys")
    names = answer["apiKeys"]
    if wire.api_key not in names:
        fix = "wait two minutes if the key is new; else set the credential again"
        return Finding("key", Grade.FAIL, "the venue does not know our API key", fix)
    return Finding("key", Grade.OK, f"the venue knows our API key, one of {len(names)}")


async def closed_only(wire: Wire) -> Finding:
    """Ask whether the account may open positions."""
    answer = await wire.get("/auth/ban-status/closed-only")
    if answer["closed_only"] is not False:
        return Finding(
            "closed-only",
            Grade.FAIL,
            "the account may only close positions",
            "close positions by hand at the venue; ask its support why",
        )
    return Finding("closed-only", Grade.OK, "the account may open positions")


async def money(wire: Wire) -> Finding:
    """Ask for cash and for what the exchanges may take of it."""
    answer = await wire.get(
        "/balance-allowance", asset_type="COLLATERAL", signature_type=wire.signature_type
    )
    cash = int(answer["balance"])
    missing = _not_approved(wire, answer)
    if missing:
        return Finding(
            "money",
            Grade.FAIL,
            f"the wallet has not approved {', '.join(missing)}",
            "approve trading once, on Polymarket's page with this wallet",
        )
    said = f"{cash / MICRO:,.2f} pUSD, all exchanges approved"
    if cash < CASH_MICRO_MIN:
        return Finding("money", Grade.WARN, said, "deposit before you start a bot")
    return Finding("money", Grade.OK, said)


def _not_approved(wire: Wire, answer: PlainView) -> list[str]:
    if "allowances" not in answer:  # the older form names one allowance for all
        return [] if int(answer["allowance"]) > 0 else ["the exchange"]
    given = {name.lower(): int(amount) for name, amount in answer["allowances"].items()}
    wanted = {
        "the exchange": wire.exchanges.standard,
        "the neg-risk exchange": wire.exchanges.neg_risk,
        "the exchange of protocol 2": wire.exchanges.v3,
    }
    return [name for name, address in wanted.items() if given.get(address.lower(), 0) <= 0]


async def tier(wire: Wire) -> Finding:
    """Ask how fast we may trade."""
    answer = await wire.get("/v1/user/rate-limit-tier")
    name = str(answer["tier"])
    if name not in TIERS:
        said = f"the venue reports an unknown tier: {name}"
        return Finding("tier", Grade.WARN, said, "the slowest tier's rate is used")
    return Finding("tier", Grade.OK, f"{name}; 80 % of it is used")


async def relayer(wire: Wire) -> Finding:
    """Ask the relayer for the wallet's next number, where the credential has a key of it."""
    name = "relayer"
    if wire.relayer is None:
        said = "no relayer key: winners are redeemed, and pairs merged, at the venue"
        return Finding(name, Grade.OK, said)
    try:
        nonce = await wire.relayer.nonce()
    except (VenueRefusal, PitbossError) as error:
        fix = "set the credential again with the relayer key of this wallet's signer, or with none"
        return Finding(name, Grade.WARN, f"redeem and merge are not possible here: {error}", fix)
    return Finding(name, Grade.OK, f"the relayer answers: the wallet's next number is {nonce}")


async def alone(wire: Wire, orders_known: Container[str]) -> Finding:
    """Look for orders of this key that are not this engine's: its heartbeat will cancel them."""
    rows = await clob_rows(wire, "/data/orders")
    ours = [row["id"] for row in rows if row["owner"] == wire.api_key]
    others = [name for name in ours if name not in orders_known]
    if others:
        return Finding(
            "alone",
            Grade.FAIL,
            f"{len(others)} open orders of this API key are not this engine's",
            "give the engine a wallet of its own, or cancel them: its heartbeat would",
        )
    return Finding("alone", Grade.OK, "no open order of this API key is somebody else's")
