"""A live account against the venue's fake, as processes: who they are, and how the venue is judged.

The account is unlocked through the same rows a doctor and a typed phrase leave. The doctor of these
tests is the adapter itself: it must open at the fake and read its balance first.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.domain.commands import OpenVault
from engine.domain.instruments import AccountId, Leg
from engine.errors import PitbossError
from engine.live import vault
from engine.runtime.credentials import Credential
from engine.strategies.market_maker.parameters import EAGER
from engine.venues.polymarket.account.venue import PolymarketVenue
from storage.commands import LeftCommand
from storage.database import connect_writer, transaction
from storage.live_accounts import Unlock, VenueHeartbeat, heartbeats, lock, unlock
from storage.schema import migrate
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID
from tests import forked
from tests.fakes.polymarket.listing import Listed, instrument_of
from tests.live.programs import Programs, answers
from tests.ports import free_port
from tests.venues.polymarket.adapter import credentials, order, urls
from tests.venues.polymarket.kit import CUP, FINE, RAIN, signer, wallet

T = TypeVar("T")

ACCOUNT = AccountId("real")
BOT = "maker"
SIGNER = 1
PARAMETERS = {
    **EAGER,
    "fair": "microprice",
    "sigma_warm_s": 0.5,
    "stop_before_close_s": 0.0,
    "price_min": 0.01,
    "price_max": 0.99,
    "event_jump_ticks": 0.0,
    "size_shares": 10.0,
}


class LivePrograms(Programs):
    """The fake venue and an engine with one live account at it."""

    def __init__(self, home: Path, *, kind: int = 0, relayer: str = "") -> None:
        """Take the signature type of the account's wallet, and its relayer key if it has one."""
        super().__init__(home, free_port())
        self.kind = kind
        self.relayer = relayer
        self.venue = f"http://127.0.0.1:{self.port}"
        self.nobody = f"http://127.0.0.1:{free_port()}"
        """Where no demo exchange is."""

    def fake(self, *, crowd: float = 30.0) -> subprocess.Popen[bytes]:
        """Start the venue."""
        words = ["--port", str(self.port), "--crowd", str(crowd)]
        with (self.home / "venue.log").open("ab") as log:
            program = forked.start(forked.FAKE, words, os.environ, log)
        self.running.append(program)
        self.until(lambda: answers(self.port), "the venue listens")
        return program

    def environment(self, *, secret: bool = True) -> dict[str, str]:
        """Return what points an engine at the venue, with the account's credential or without."""
        sockets = self.venue.replace("http", "ws", 1)
        found = {
            "PITBOSS_HOME": str(self.home),
            "PITBOSS_POLYMARKET_WS_URL": sockets,
            "PITBOSS_POLYMARKET_RTDS_URL": f"{sockets}/rtds",
            "PITBOSS_POLYMARKET_POLYBOLT_URL": f"{sockets}/rt",
            "PITBOSS_BINANCE_WS_URL": f"{sockets}/binance",
            "PITBOSS_COINBASE_WS_URL": f"{sockets}/coinbase",
        }
        for name in ("CLOB", "GAMMA", "DATA", "RELAYER"):
            found[f"PITBOSS_POLYMARKET_{name}_URL"] = self.venue
        found["PITBOSS_POLYMARKET_GEOBLOCK_URL"] = f"{self.venue}/api/geoblock"
        if secret:
            found |= {
                "POLYMARKET_ACCOUNT": ACCOUNT,
                "POLYMARKET_PRIVATE_KEY": signer(SIGNER).key.hex(),
                "POLYMARKET_WALLET": wallet(signer(SIGNER), self.kind),
                "POLYMARKET_RELAYER_KEY": self.relayer,
            }
        return found

    def engine(self, *, secret: bool = True) -> subprocess.Popen[bytes]:
        """Start an engine, with the account's credential in its environment or without."""
        return self.start("run", "--demo", self.nobody, **self.environment(secret=secret))

    def keep_in_vault(self, passphrase: str) -> None:
        """Make a vault that holds the account's key."""
        path, purse = self.home / "vault.json", wallet(signer(SIGNER), self.kind)
        secret = {"private_key": signer(SIGNER).key.hex()}
        made = vault.create(path, passphrase)
        vault.put(
            path, ACCOUNT, vault.seal(made, ACCOUNT, Credential("polymarket", purse, secret)), 1
        )

    def open_vault(self, passphrase: str) -> LeftCommand:
        """Open the engine's vault as the page does: sealed for the key this start tells."""
        self.until(self.unlock_key, "the engine tells for which key to seal")
        key = base64.b64decode(self.unlock_key())
        return self.command(OpenVault(sealed=vault.sealed_passphrase(passphrase, key)))

    def unlock_key(self) -> str:
        """Return the key the engine that runs tells; empty = none yet."""
        alive_ns = time.time_ns() - 5_000_000_000
        for detail, at_ns in self.rows("SELECT detail, heartbeat_ns FROM engine_state"):
            if int(str(at_ns)) > alive_ns:
                return str(json.loads(str(detail)).get("unlock_key", ""))
        return ""

    # -- the venue's own word ----------------------------------------------------------------------

    def hand(self, what: str = "", given: dict[str, Any] | None = None) -> Any:
        """Ask the hand behind the venue, past its faults. A change is made once."""
        request = urllib.request.Request(
            f"{self.venue}/__fake__{what}",
            data=None if given is None else json.dumps(given).encode(),
            headers={"Content-Type": "application/json"},
        )
        for _ in range(60):
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return json.load(answer)
            except (urllib.error.URLError, OSError, ValueError):
                time.sleep(0.5)
        raise AssertionError(f"the venue did not answer {what}")

    def problems(self) -> list[str]:
        """Return what the venue's judges found."""
        return list(self.hand("/invariants")["problems"])

    def open_orders(self) -> int:
        """Return how many orders rest at the venue, by a door of their own."""
        listed = asyncio.run(self._asked(lambda venue: venue.open_orders()))
        return len(listed.orders)

    async def _asked(
        self, question: Callable[[PolymarketVenue], Awaitable[T]], who: int = SIGNER
    ) -> T:
        """Ask the venue through a door of its own; again where it did not answer."""
        given = credentials(who, self.kind)
        url = self.venue
        for _ in range(10):
            try:
                venue = await PolymarketVenue.open(
                    ACCOUNT, given, now_ns=time.time_ns, urls=urls(url)
                )
            except PitbossError:
                continue
            try:
                return await question(venue)
            except PitbossError:
                continue
            finally:
                await venue.close()
        raise AssertionError("the venue did not answer")

    def quoted(self, slug: str, *quotes: tuple[Leg, int, int]) -> None:
        """Have somebody else bid in a market: leg, cents, shares. A bid for NO offers YES."""
        known = next(one for one in self.hand()["markets"] if one["slug"] == slug)
        instrument = instrument_of(msgspec.convert(known, Listed))

        async def place(venue: PolymarketVenue) -> None:
            await venue.list_market(instrument)
            for leg, cents, shares in quotes:
                await venue.send(venue.prepare(order(instrument, cents, shares, leg=leg)))

        asyncio.run(self._asked(place, SIGNER + 1))

    def heartbeat(self) -> VenueHeartbeat | None:
        """Return the heartbeat as the engine last told it."""
        connection = connect_writer(self.state)
        try:
            return next(iter(heartbeats(connection, ENGINE_ID)), None)
        finally:
            connection.close()

    # -- before the first start --------------------------------------------------------------------

    def conditions(self, *slugs: str) -> list[str]:
        """Return the instruments of markets of the venue."""
        found = {market["slug"]: market["condition"] for market in self.hand()["markets"]}
        return [f"polymarket:{found[slug]}" for slug in slugs]

    def prepare(
        self,
        *,
        unlocked: bool = True,
        slugs: tuple[str, ...] = (RAIN, CUP, FINE),
        parameters: dict[str, Any] = PARAMETERS,
        quote_life_s: int | None = None,
    ) -> None:
        """Migrate, save the settings of one live account and its bot, and unlock it."""
        migrate(self.state)
        account: dict[str, Any] = {"name": ACCOUNT, "venue": "polymarket", "mode": "live"}
        account |= {"quote_life_s": quote_life_s}
        bot = {
            "name": BOT,
            "strategy": "market_maker",
            "account": ACCOUNT,
            "capital": 5_000.0,
            "instruments": self.conditions(*slugs),
            "parameters": parameters,
        }
        document = {"accounts": {ACCOUNT: account}, "bots": {BOT: bot}}
        connection = connect_writer(self.state)
        try:
            saved = save(
                connection, engine_id=ENGINE_ID, who="test", diff=document, base_version=0, now_ns=1
            )
            assert isinstance(saved, Saved)
            applied(connection, ENGINE_ID, saved.version, 1)
        finally:
            connection.close()
        if unlocked:
            cash = asyncio.run(self._asked(lambda venue: venue.balances())).cash_micro
            assert cash["pUSD"] > 0
            self.permit()

    def permit(self) -> None:
        """Unlock the account, as a green doctor and a typed phrase do."""
        given = Unlock(
            account=ACCOUNT,
            wallet=wallet(signer(SIGNER), self.kind),
            doctor_ns=time.time_ns(),
            phrase_ns=time.time_ns(),
            who="test",
        )
        self._written(lambda connection: unlock(connection, ENGINE_ID, given))

    def forbid(self) -> None:
        """Take the unlocking back, as `engine unlock --lock` does."""
        now_ns = time.time_ns()
        self._written(lambda c: lock(c, ENGINE_ID, ACCOUNT, who="test", now_ns=now_ns))

    def _written(self, change: Callable[[sqlite3.Connection], object]) -> None:
        with closing(connect_writer(self.state)) as connection, transaction(connection):
            change(connection)
