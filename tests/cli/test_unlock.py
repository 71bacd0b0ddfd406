"""`unlock`: a green doctor and a typed phrase, in one go; anything less keeps it locked."""

from __future__ import annotations

import asyncio
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main
from engine.domain.events import CashKind
from engine.domain.instruments import Mode
from engine.live import vault
from engine.runtime.credentials import Credential
from storage.database import Table, connect_writer, reading, writing
from storage.live_accounts import Examination, Examiner, Unlock, examinations, unlocks
from storage.projected.cash_moves import CashRow
from storage.schema import migrate
from storage.settings import save
from storage.users import ENGINE_ID
from storage.vault import read_vault
from tests.fakes.polymarket.server import Served, serving
from tests.venues.polymarket.kit import quick, signer, wallet

PASSPHRASE = "correct horse battery staple"
PHRASE = "trade real money with mine"
KEY = signer(1).key.hex()
WALLET = wallet(signer(1), 3)


@pytest.fixture(scope="module")
def venue() -> Iterator[Served]:
    """The fake venue on a loop of its own: the command brings its own loop."""
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()
    held: list[Served] = []

    async def serve() -> None:
        async with serving(quick()) as served:
            held.append(served)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(150)
    yield held[0]
    loop.call_soon_threadsafe(over.set)
    thread.join()
    loop.close()


@pytest.fixture
def home(tmp_path: Path, venue: Served, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a live account and its credential in the vault."""
    for name in ("CLOB", "GAMMA", "DATA", "RELAYER"):
        monkeypatch.setenv(f"PITBOSS_POLYMARKET_{name}_URL", venue.url)
    monkeypatch.setenv("PITBOSS_POLYMARKET_GEOBLOCK_URL", f"{venue.url}/api/geoblock")
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    migrate(tmp_path / "pitboss.db")
    connection = connect_writer(tmp_path / "pitboss.db")
    account: dict[str, Any] = {"name": "mine", "venue": "polymarket", "mode": Mode.LIVE}
    save(
        connection,
        engine_id=ENGINE_ID,
        base_version=0,
        diff={"accounts": {"mine": account}},
        who="test",
        now_ns=time.time_ns(),
    )
    connection.close()
    path = tmp_path / "vault.json"
    made = vault.create(path, PASSPHRASE)
    secret = {"private_key": KEY}
    vault.put(path, "mine", vault.seal(made, "mine", Credential("polymarket", WALLET, secret)), 1)
    venue.venue.geoblock["blocked"] = False
    return tmp_path


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(line + "\n" for line in lines)))


def kept(home: Path) -> dict[str, Unlock]:
    with reading(home / "pitboss.db") as connection:
        return unlocks(connection, ENGINE_ID)


def verdict(home: Path) -> Examination | None:
    with reading(home / "pitboss.db") as connection:
        return examinations(connection, ENGINE_ID).get(("mine", Examiner.DOCTOR))


def test_a_green_doctor_and_the_phrase_unlock_for_one_wallet(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, PASSPHRASE, PHRASE)
    assert main(["unlock", "mine"]) == 0
    (one,) = kept(home).values()
    assert (one.account, one.wallet) == ("mine", WALLET.lower())
    assert one.doctor_ns < one.phrase_ns
    out, err = capsys.readouterr()
    assert "restart the engine" in out
    assert KEY.removeprefix("0x") not in out + err
    assert main(["unlock", "mine", "--lock"]) == 0
    assert kept(home) == {}


def test_another_phrase_leaves_it_locked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_PASSPHRASE", PASSPHRASE)
    typed(monkeypatch, "trade real money with yours")
    assert main(["unlock", "mine"]) == 3
    assert kept(home) == {}


def test_a_doctor_that_is_not_green_asks_for_no_phrase(
    home: Path, venue: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    venue.venue.geoblock["blocked"] = True
    typed(monkeypatch, PASSPHRASE, PHRASE)
    assert main(["unlock", "mine"]) == 1
    assert kept(home) == {}
    assert "accepts no orders from here" in capsys.readouterr().out
    found = verdict(home)
    assert found is not None
    assert [one.name for one in found.failures] == ["geoblock"]


def test_a_check_unlocks_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, PASSPHRASE, PHRASE)
    assert main(["unlock", "mine", "--check"]) == 0
    assert kept(home) == {}
    found = verdict(home)
    assert found is not None
    assert (found.green, found.wallet, found.who[:4]) == (True, WALLET.lower(), "cli:")


def test_venue_that_is_not_there_is_a_verdict_too(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITBOSS_POLYMARKET_CLOB_URL", "http://127.0.0.1:9")
    typed(monkeypatch, PASSPHRASE, PHRASE)
    assert main(["unlock", "mine"]) == 1
    found = verdict(home)
    assert found is not None
    assert [one.name for one in found.failures] == ["clock", "venue"]


@pytest.mark.parametrize(("skew_s", "mends"), [(-120, "clock"), (0, "geoblock")])
def test_what_looks_like_a_wrong_key_is_told_by_its_cause(
    home: Path, venue: Served, monkeypatch: pytest.MonkeyPatch, skew_s: int, mends: str
) -> None:
    typed(monkeypatch, PASSPHRASE, PHRASE)
    venue.venue.geoblock["blocked"] = mends == "geoblock"
    venue.venue.clock.skew_ns = skew_s * 10**9
    answer = {"status": 403, "body": "<html>Forbidden</html>", "type": "text/html"}
    if mends == "geoblock":
        venue.venue.faults.add({"kind": "status", "path": "/auth/", "args": answer}, 0)
    try:
        assert main(["unlock", "mine"]) == 1
    finally:
        venue.venue.clock.skew_ns = 0
        venue.venue.faults.clear("")
    found = verdict(home)
    assert found is not None
    assert [one.name for one in found.failures] == [mends, "key"]
    assert found.failures[1].fix == f"first fix what else failed: {mends}"


def test_an_account_with_a_past_is_not_unlocked_for_another_wallet(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VAULT_PASSPHRASE", PASSPHRASE)
    typed(monkeypatch, PHRASE)
    assert main(["unlock", "mine"]) == 0
    path, other = home / "vault.json", wallet(signer(1), 0)
    made = read_vault(path)
    assert made is not None
    secret = {"private_key": KEY}
    vault.put(path, "mine", vault.seal(made, "mine", Credential("polymarket", other, secret)), 1)
    monkeypatch.setenv("VAULT_PASSPHRASE", PASSPHRASE)
    assert main(["unlock", "mine", "--check"]) == 0, "it has never held anything"
    with writing(home / "pitboss.db") as connection:
        paid = CashRow(
            account="mine", seq=1, mode=Mode.LIVE, currency="pUSD", amount_micro=5_000_000,
            kind=CashKind.DEPOSIT, payment="", at_ns=time.time_ns(),
        )  # fmt: skip
        Table(CashRow, "cash_moves").put(connection, ENGINE_ID, [paid])
    monkeypatch.setenv("VAULT_PASSPHRASE", PASSPHRASE)
    typed(monkeypatch, PHRASE)
    assert main(["unlock", "mine"]) == 3
    assert f"has a history with the wallet {WALLET.lower()}" in capsys.readouterr().err
    assert kept(home)["mine"].wallet == WALLET.lower()


def test_what_was_unlocked_before_is_not_called_locked(
    home: Path, venue: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for phrase, code, said in (
        ("no", 3, "mine stays locked"),
        (PHRASE, 0, "mine is unlocked"),
        ("no", 3, "mine stays UNLOCKED"),
    ):
        typed(monkeypatch, PASSPHRASE, phrase)
        assert main(["unlock", "mine"]) == code
        assert said in "".join(capsys.readouterr())
    venue.venue.geoblock["blocked"] = True
    typed(monkeypatch, PASSPHRASE)
    assert main(["unlock", "mine", "--check"]) == 1
    assert "mine stays UNLOCKED" in capsys.readouterr().out


def test_a_misspelt_account_is_not_called_locked(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, PASSPHRASE, PHRASE)
    assert main(["unlock", "mine"]) == 0
    assert main(["unlock", "mime", "--lock"]) == 3
    assert "unlocked: mine" in capsys.readouterr().err
    assert "mine" in kept(home)


def test_the_passphrase_is_gone_from_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_PASSPHRASE", PASSPHRASE)
    assert main(["unlock", "mine", "--check"]) == 0
    assert "VAULT_PASSPHRASE" not in os.environ


def test_an_account_that_is_not_live_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, PASSPHRASE)
    assert main(["unlock", "demo-maker"]) == 3
    assert "not a live account" in capsys.readouterr().err
