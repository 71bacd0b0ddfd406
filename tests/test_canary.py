"""No secret leaves the engine's memory: a whole desk trades with canaries, then everything is read.

The files of the desk (databases, tape, logs), the environments of its other programs, and what the
engine may write when it dies.
"""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.domain.commands import StartBot
from engine.domain.instruments import BotId
from engine.live import vault
from engine.runtime.credentials import Credential
from engine.runtime.tape import read
from engine.venues.polymarket.account.sdk import Wire
from storage.commands import CommandState
from storage.vault import read_vault
from tests.live.polymarket_programs import BOT, SIGNER, LivePrograms
from tests.live.programs import REPOSITORY
from tests.ports import free_port
from tests.venues.polymarket.adapter import credentials, urls
from tests.venues.polymarket.kit import signer

PASSPHRASE = "canary passphrase of the vault"
MISTYPED = "canary passphrase, mistyped"
KEPT = "0x" + "c4" * 32
LATER = "0x" + "c5" * 32
WALLET, ANOTHER = "0x" + "ab" * 20, "0x" + "cd" * 20
OTHERS = ("dashboard", "worker", "demo")
NOT_LINUX = not Path("/proc/self/environ").exists()

pytestmark = pytest.mark.skipif(NOT_LINUX, reason="this system has no /proc")


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[LivePrograms]:
    made = LivePrograms(tmp_path)
    made.fake()
    made.prepare()
    yield made
    made.end()


def canaries(programs: LivePrograms) -> dict[str, list[bytes]]:
    """Return every secret in the forms it could be found in."""

    async def derived() -> tuple[str, str]:
        url = programs.venue
        wire = await Wire.open(credentials(SIGNER), now_ns=time.time_ns, urls=urls(url))
        try:
            found = wire._credentials
            return found.secret, found.passphrase
        finally:
            await wire.close()

    secret, phrase = asyncio.run(derived())
    key = signer(SIGNER).key.hex().removeprefix("0x")
    kept, later = KEPT.removeprefix("0x"), LATER.removeprefix("0x")
    return {
        "private key": [key.encode(), key.upper().encode(), bytes.fromhex(key)],
        "key of the vault": [kept.encode(), kept.upper().encode(), bytes.fromhex(kept)],
        "key that came later": [later.encode(), later.upper().encode(), bytes.fromhex(later)],
        "API secret": [secret.encode()],
        "API passphrase": [phrase.encode()],
        "vault's passphrase": [PASSPHRASE.encode(), base64.b64encode(PASSPHRASE.encode())],
        "passphrase mistyped": [MISTYPED.encode(), base64.b64encode(MISTYPED.encode())],
    }


def whole_desk(programs: LivePrograms) -> subprocess.Popen[bytes]:
    """Start everything as an operator does, with the secrets in the environment."""
    path = programs.home / "vault.json"
    made = vault.create(path, PASSPHRASE)
    entry = vault.seal(made, "kept", Credential("polymarket", WALLET, {"private_key": KEPT}))
    vault.put(path, "kept", entry, 1)
    environment = {**os.environ, **programs.environment(secret=True)}
    environment["VAULT_PASSPHRASE"] = PASSPHRASE
    ports = ("--port", str(free_port()), "--demo-port", str(free_port()))
    with (programs.home / "up.log").open("ab") as log:
        desk = subprocess.Popen(
            [sys.executable, "-m", "tests.whole_desk", "up", *ports],
            cwd=REPOSITORY,
            env=environment,
            stdout=log,
            stderr=log,
        )
    programs.running.append(desk)
    return desk


def opened_again(programs: LivePrograms) -> None:
    """Have the engine that runs open its vault for a key that came after its start."""
    path = programs.home / "vault.json"
    made = read_vault(path)
    assert made is not None
    entry = vault.seal(made, "later", Credential("polymarket", ANOTHER, {"private_key": LATER}))
    vault.put(path, "later", entry, 2)
    assert programs.open_vault(MISTYPED).state is CommandState.FAILED
    right = programs.open_vault(PASSPHRASE)
    assert (right.state, right.answer) == (
        CommandState.DONE,
        "the vault is open: no account connects",
    )


def children(desk: subprocess.Popen[bytes]) -> dict[str, psutil.Process]:
    """Return the desk's programs by name."""
    words = {"run": "engine", "app.py": "dashboard", "worker": "worker", "demo": "demo"}
    found = {}
    for one in psutil.Process(desk.pid).children():
        for word, name in words.items():
            if word in one.cmdline():
                found[name] = one
    return found


def holding(found: dict[str, list[bytes]], data: bytes) -> list[str]:
    return [name for name, forms in found.items() if any(form in data for form in forms)]


@pytest.mark.long
def test_no_secret_is_found_outside_the_engines_memory(programs: LivePrograms) -> None:
    desk = whole_desk(programs)
    programs.until(lambda: set(children(desk)) == {*OTHERS, "engine"}, "all programs run", 120)
    left = programs.command(StartBot(bot=BotId(BOT)))
    assert left.state is CommandState.DONE, left.answer
    opened_again(programs)
    sql = "SELECT count(*) FROM orders WHERE identity IS NOT NULL"
    programs.until(lambda: programs.rows(sql) != [(0,)], "it signs and trades", 120)
    found = canaries(programs)
    held = children(desk)
    keeper = [one.pid for one in psutil.Process(desk.pid).children() if "up" in one.cmdline()]
    assert len(keeper) == 1
    for pid in [desk.pid, *keeper, *(one.pid for one in held.values())]:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"PITBOSS_HOME" in environment
        assert holding(found, environment) == [], psutil.Process(pid).cmdline()
    limits = Path(f"/proc/{held['engine'].pid}/limits").read_text()
    assert "Max core file size        0                    0" in limits
    desk.send_signal(signal.SIGTERM)
    desk.wait(150)
    files = [path for path in programs.home.rglob("*") if path.is_file()]
    assert {"journal.db", "pitboss.db", "vault.json"} <= {path.name for path in files}
    leaks = {str(path): holding(found, path.read_bytes()) for path in files}
    assert {path: what for path, what in leaks.items() if what} == {}
    frames = list(read(programs.home / "tape", warn=print))
    assert frames
    assert not any(holding(found, frame.payload) for frame in frames)
