"""A key typed on the page leaves the browser sealed: the engine's vault opens it, nobody else."""

from __future__ import annotations

import base64
import contextlib
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from playwright.sync_api import Browser, expect

from engine.config import Config
from engine.domain.commands import OpenVault, SetCredential
from engine.live import vault
from engine.runtime.credentials import Credential
from storage.commands import claim
from storage.database import writing
from storage.settings import save
from storage.users import ENGINE_ID
from storage.vault import VaultEntry, VaultFile, unlock_context
from tests.pages.desks import CHROMIUM, Desk, opened, press_until, sign_in
from tests.pages.test_asking import beat

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

PASSPHRASE = "correct horse battery staple"
KEY = "4b" * 32
WALLET = "0x" + "Ab" * 20


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("sealing"))
    with writing(made.config.state_path) as connection:
        account = {"name": "mine", "venue": "polymarket", "mode": "live"}
        save(
            connection,
            engine_id=ENGINE_ID,
            who="test",
            diff={"accounts": {"mine": account}},
            base_version=0,
            now_ns=time.time_ns(),
        )
    yield made
    made.stop()


@pytest.fixture(scope="module")
def made(desk: Desk) -> VaultFile:
    return vault.create(desk.config.vault_path, PASSPHRASE)


def test_the_browsers_seal_opens_in_the_vault_and_nothing_else_was_sent(
    desk: Desk, made: VaultFile, browser: Browser
) -> None:
    with opened(browser) as page:
        frames: list[str | bytes] = []

        def keep(frame: str | bytes) -> None:
            frames.append(frame)

        page.on("websocket", lambda line: line.on("framesent", keep))
        sign_in(page, desk, "/settings")
        page.get_by_text("Set a key", exact=True).click()
        page.get_by_label("Wallet", exact=True).fill("0x12")
        page.get_by_role("button", name="Seal and send").click()
        expect(page.get_by_text("The wallet must be an address")).to_be_visible()
        page.get_by_label("Wallet", exact=True).fill(WALLET)
        page.get_by_label("Private key").fill("0x" + KEY.upper())
        page.get_by_role("button", name="Seal and send").click()
        expect(page.get_by_text(re.compile("no answer yet"))).to_be_visible()
        assert KEY not in page.content().lower()
    with writing(desk.config.state_path) as connection:
        (left,) = claim(connection, ENGINE_ID, time.time_ns())
    assert isinstance(left.command, SetCredential)
    sent = left.command
    entry = VaultEntry(
        venue=sent.venue,
        wallet=sent.wallet,
        fingerprint=sent.fingerprint,
        added_ns=0,
        sealed=base64.b64decode(sent.sealed),
    )
    secret = vault.Unlocked(made, PASSPHRASE).open("mine", entry)
    assert secret.secret("private_key").lower() == "0x" + KEY
    assert frames
    assert not any(holds_key(one) for one in frames)
    assert not any(holds_key(one.read_bytes()) for one in files(desk.config.home))


@pytest.mark.long
def test_the_browsers_seal_of_a_passphrase_opens_for_the_engine_that_runs_alone(
    desk: Desk, made: VaultFile, browser: Browser
) -> None:
    secret = {"private_key": "0x" + KEY}
    entry = vault.seal(made, "mine", Credential("polymarket", WALLET, secret))
    vault.put(desk.config.vault_path, "mine", entry, 1)
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    told = {"unlock_key": base64.b64encode(public).decode()}
    with beating(desk.config, told), opened(browser) as page:
        frames: list[str | bytes] = []

        def keep(frame: str | bytes) -> None:
            frames.append(frame)

        page.on("websocket", lambda line: line.on("framesent", keep))
        sign_in(page, desk, "/settings")
        page.get_by_text("Open the vault", exact=True).click()
        page.get_by_label("The vault's passphrase").fill(PASSPHRASE)
        seal = page.get_by_role("button", name="Seal and open the vault")
        press_until(seal, page.get_by_text("Sealed and sent."))
        with writing(desk.config.state_path) as connection:
            end = time.monotonic() + 60
            left = claim(connection, ENGINE_ID, time.time_ns())
            while not left and time.monotonic() < end:
                left = claim(connection, ENGINE_ID, time.time_ns())
    (command,) = (one.command for one in left)
    assert isinstance(command, OpenVault)
    raw = base64.b64decode(command.sealed)
    assert vault.SUITE.decrypt(raw, private, info=unlock_context(public)) == PASSPHRASE.encode()
    assert frames
    sent = [one.encode() if isinstance(one, str) else one for one in frames]
    kept = [one.read_bytes() for one in files(desk.config.home)]
    assert not any(PASSPHRASE.encode() in one for one in (*sent, *kept))


@contextlib.contextmanager
def beating(config: Config, detail: dict[str, str]) -> Iterator[None]:
    """Have an engine be seen that lives for as long as this takes."""
    over = threading.Event()

    def beats() -> None:
        while not over.wait(1):
            beat(config, dict(detail))

    beat(config, dict(detail))
    thread = threading.Thread(target=beats)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def holds_key(data: str | bytes) -> bool:
    raw = data.encode() if isinstance(data, str) else data
    return KEY.encode() in raw.lower() or bytes.fromhex(KEY) in raw


def files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]
