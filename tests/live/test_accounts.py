"""What an engine opens, what it refuses in words, and that no account changes its mode."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.config import Config
from engine.domain.instruments import Mode
from engine.domain.settings import AccountSettings, SettingsDocument
from engine.errors import ConfigError
from engine.live.accounts import Accounts
from engine.live.venues import venues_of
from engine.runtime.recovery import executor_of
from storage.database import connect_writer
from storage.projection import registered
from storage.schema import migrate
from storage.users import ENGINE_ID
from tests.kit.engines import engine_of


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    migrate(tmp_path / "pitboss.db")
    with closing(connect_writer(tmp_path / "pitboss.db")) as opened:
        yield opened


def account(name: str, mode: Mode, venue: str = "demo") -> AccountSettings:
    return AccountSettings(name=name, venue=venue, mode=mode)


def accounts_of(*, fence: int) -> Accounts:
    venues = venues_of(Config(), "http://127.0.0.1:1")
    return Accounts(venues, fence=fence)


def document(*accounts: AccountSettings) -> SettingsDocument:
    return SettingsDocument(accounts={one.name: one for one in accounts})


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (account("a", Mode.DEMO), ""),
        (account("a", Mode.PAPER), ""),
        (account("a", Mode.LIVE), "nothing here can sign an order"),
        (account("a", Mode.PAPER).model_copy(update={"currency": "USD"}), "counts in 'USD'"),
        (account("a", Mode.PAPER, "okx"), "needs the market of 'okx'"),
        (account("a", Mode.DEMO, "okx"), "needs the market of 'okx'"),
    ],
)
def test_account_is_opened_or_refused_in_words(one: AccountSettings, why: str) -> None:
    refusal = accounts_of(fence=1).refusal(one)
    assert why in refusal
    assert bool(why) is bool(refusal)


def test_account_with_a_past_waits_for_a_start(connection: sqlite3.Connection) -> None:
    old, new = account("old", Mode.PAPER), account("new", Mode.PAPER)
    first = accounts_of(fence=1)
    first.register(connection, document(old))
    second = accounts_of(fence=2)
    assert set(second.made(document(old))) == {"old"}
    second.know(connection, document(old))
    assert "restart the engine" in second.refusal(old)
    assert second.refusal(new) == ""
    second.register(connection, document(old, new))
    assert registered(connection, ENGINE_ID) == {"old": Mode.PAPER, "new": Mode.PAPER}


def test_account_never_changes_its_mode_nor_its_venue(connection: sqlite3.Connection) -> None:
    accounts = accounts_of(fence=1)
    accounts.register(connection, document(account("a", Mode.PAPER)))
    accounts.register(connection, document())  # removed: its past stays
    with pytest.raises(ConfigError, match="'a' is at demo and cannot move to polymarket"):
        accounts.register(connection, document(account("a", Mode.PAPER, "polymarket")))
    with pytest.raises(ConfigError, match="'a' is paper and cannot become demo"):
        accounts.register(connection, document(account("a", Mode.DEMO)))
    assert registered(connection, ENGINE_ID) == {"a": Mode.PAPER}


def test_accounts_of_a_mode_share_their_total_where_their_amounts_can_be_added() -> None:
    """What counts in another currency needs a rate as soon as it has exposure."""
    given = {"a": "pUSD", "b": "USDC", "c": "USDT", "d": "pUSD"}
    opener: Any = SimpleNamespace(runner=lambda *_: SimpleNamespace())
    modes = {name: Mode.DEMO if name == "d" else Mode.PAPER for name in given}
    venues: Any = SimpleNamespace(openers=dict.fromkeys((("x", m) for m in modes.values()), opener))
    accounts, engine = Accounts(venues, fence=1), engine_of(gates={}, runners={}, end=None)
    gates = {}
    for name, currency in given.items():
        settings = AccountSettings(name=name, venue="x", mode=modes[name], currency=currency)
        executor, gates[name] = executor_of(settings, 1)
        accounts.wire(engine, settings, executor, gates[name])
    gates["a"].exposure.account.micro = 7
    seen = {name: gate.exposure.others_at(1) for name, gate in gates.items()}
    assert seen == {"a": 0, "b": 7, "c": None, "d": 0}
    assert gates["c"].exposure.unknown_rates(1) == "no book gives a rate of USDT to USDC"
