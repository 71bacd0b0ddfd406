"""`python -m engine kill` cancels whatever can be cancelled, and claims no more than that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.__main__ import BAD_ARGUMENTS, PROBLEM, STORAGE_REFUSED, main
from engine.config import load
from engine.domain.commands import StartBot
from engine.live.main import engine_lock
from storage.commands import KILL_PROOF
from storage.database import connect_writer, transaction
from storage.latch import set_latch
from storage.live_accounts import Unlock, unlock
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID
from tests.live.programs import BOT, Programs, prepare
from tests.ports import free_port

WALLET = "0x" + "ab" * 20
REAL = {"accounts": {"real": {"name": "real", "venue": "polymarket", "mode": "live"}}}


def unlocked_account(programs: Programs) -> None:
    """Add a live account that was unlocked once; its credential is nowhere."""
    given = Unlock(account="real", wallet=WALLET, doctor_ns=1, phrase_ns=1, who="test")
    with closing(connect_writer(programs.state)) as connection:
        saved = save(
            connection, engine_id=ENGINE_ID, who="test", diff=REAL, base_version=1, now_ns=2
        )
        assert isinstance(saved, Saved)
        applied(connection, ENGINE_ID, saved.version, 2)
        with transaction(connection):
            unlock(connection, ENGINE_ID, given)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    nobody = f"127.0.0.1:{free_port()}"
    for name in ("CLOB", "GAMMA", "DATA", "RELAYER", "GEOBLOCK"):
        monkeypatch.setenv(f"PITBOSS_POLYMARKET_{name}_URL", f"http://{nobody}")
    for name in ("WS", "RTDS", "POLYBOLT"):
        monkeypatch.setenv(f"PITBOSS_POLYMARKET_{name}_URL", f"ws://{nobody}")
    made = Programs(tmp_path, free_port())
    prepare(made.state)
    unlocked_account(made)
    yield made
    made.end()


def test_kill_with_a_damaged_vault_cancels_and_proves_every_other_account(
    programs: Programs,
) -> None:
    programs.demo()
    engine = programs.engine()
    programs.command(StartBot(bot=BOT))
    programs.until(programs.live, "it quotes")
    engine.kill()
    engine.wait(150)
    (programs.home / "vault.json").write_text('{"version": 1, "public')

    killer = programs.start("kill", "--demo", f"http://127.0.0.1:{programs.port}")

    def lacking() -> dict[str, tuple[str, ...]]:
        receipt = programs.receipt(KILL_PROOF)
        return {one.account: one.missing for one in receipt.accounts} if receipt else {}

    programs.until(
        lambda: killer.poll() is not None or lacking().get("demo") == (), "demo is proven"
    )
    assert killer.poll() is None, "it goes on as long as an account is not proven"
    assert "the venue cannot be asked: vault.json is no longer a vault" in lacking()["real"][0]
    killer.terminate()
    assert killer.wait(150) == 1
    receipt = programs.receipt(KILL_PROOF)
    assert receipt is not None
    assert not receipt.proven
    assert receipt.reported_ns < time.time_ns()


def test_a_receipt_that_cannot_be_read_is_not_taken_for_a_missing_latch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("engine.log.configure", lambda **_: None)
    with engine_lock(load({"PITBOSS_HOME": str(tmp_path / "home")}), 0.0):
        assert main(["kill", "--wait", "0"]) == STORAGE_REFUSED
    said = capsys.readouterr().err
    assert "the latch is set, but its proof cannot be read here" in said
    assert "engine.log" in said
    assert (tmp_path / "home" / "KILL").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"PITBOSS_LOG_LEVEL=\xff\n", ".env cannot be read"),
        (b"PITBOSS_HOMES=x\n", ".env sets PITBOSS_HOMES, which is not a setting"),
    ],
)
def test_kill_goes_on_where_the_file_of_settings_cannot_be_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: bytes,
    why: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("engine.log.configure", lambda **_: None)
    monkeypatch.setattr(
        "engine.cli.kill.run", lambda _, config: set_latch(config.kill_path, "", 1) - 1
    )
    (tmp_path / ".env").write_bytes(text)
    assert main(["status"]) == BAD_ARGUMENTS
    assert main(["kill"]) == PROBLEM, "nobody may take it for a proof"
    assert why in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "home" / "KILL").exists()
