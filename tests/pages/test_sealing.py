"""A key typed on the page leaves the browser sealed: the engine's vault opens it, nobody else."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from engine import vault
from engine.domain.commands import SetCredential
from storage.commands import claim
from storage.database import writing
from storage.settings import save
from storage.users import ENGINE_ID
from storage.vault import Entry, VaultFile
from tests.pages.desks import CHROMIUM, Desk, opened, sign_in

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
        expect(page.get_by_text("The wallet is an address")).to_be_visible()
        page.get_by_label("Wallet", exact=True).fill(WALLET)
        page.get_by_label("Private key").fill("0x" + KEY.upper())
        page.get_by_role("button", name="Seal and send").click()
        expect(page.get_by_text(re.compile("no answer yet"))).to_be_visible()
        assert KEY not in page.content().lower()
    with writing(desk.config.state_path) as connection:
        (left,) = claim(connection, ENGINE_ID, time.time_ns())
    assert isinstance(left.command, SetCredential)
    sent = left.command
    entry = Entry(
        venue=sent.venue,
        wallet=sent.wallet,
        fingerprint=sent.fingerprint,
        added_ns=0,
        sealed=base64.b64decode(sent.sealed),
    )
    secret = vault.Unlocked(made, PASSPHRASE).open("mine", entry)
    assert secret.private_key == "0x" + KEY
    assert frames
    assert not any(holds_key(one) for one in frames)
    assert not any(holds_key(one.read_bytes()) for one in files(desk.config.home))


def holds_key(data: str | bytes) -> bool:
    raw = data.encode() if isinstance(data, str) else data
    return KEY.encode() in raw.lower() or bytes.fromhex(KEY) in raw


def files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]
