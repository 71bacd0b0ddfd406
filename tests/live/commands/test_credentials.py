"""Credentials on a running desk: only for a live account, sealed, on the disk when answered."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from engine.domain.commands import ApplySettings, OpenVault, RemoveCredential, SetCredential
from engine.domain.instruments import AccountId
from engine.live import vault
from engine.runtime.credentials import Credential
from storage.commands import CommandState
from storage.database import writing
from storage.settings import Saved, latest, save
from storage.users import ENGINE_ID
from storage.vault import read_vault
from tests.live.programs import Programs, prepare
from tests.ports import free_port

PASSPHRASE = "correct horse battery staple"
KEY = "0x" + "4b" * 32
WALLET = "0x" + "ab" * 20
MINE = AccountId("mine")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A desk with a live account in force that nobody unlocked."""
    made = Programs(tmp_path_factory.mktemp("desk"), free_port())
    prepare(made.state)
    vault.create(made.home / "vault.json", PASSPHRASE)
    made.demo()
    made.engine()
    with writing(made.state) as connection:
        account = {"name": MINE, "venue": "polymarket", "mode": "live"}
        saved = save(
            connection,
            engine_id=ENGINE_ID,
            who="test",
            diff={"accounts": {MINE: account}},
            base_version=latest(connection, ENGINE_ID).version,
            now_ns=time.time_ns(),
        )
    assert isinstance(saved, Saved)
    made.command(ApplySettings(version=saved.version))
    yield made
    made.end()


def given(programs: Programs, account: str = MINE, **changes: Any) -> SetCredential:
    found = read_vault(programs.home / "vault.json")
    assert found is not None
    entry = vault.seal(found, account, Credential("polymarket", WALLET, {"private_key": KEY}))
    made = SetCredential(
        venue="polymarket",
        account=AccountId(account),
        wallet=WALLET,
        fingerprint=entry.fingerprint,
        sealed=base64.b64encode(entry.sealed).decode(),
    )
    return msgspec.structs.replace(made, **changes)


def test_a_sealed_key_is_kept_and_forgotten(programs: Programs) -> None:
    left = programs.command(given(programs))
    assert left.state is CommandState.DONE, left.answer
    assert "engine unlock mine" in left.answer
    found = read_vault(programs.home / "vault.json")
    assert found is not None
    secret = vault.Unlocked(found, PASSPHRASE).open(MINE, found.entries[MINE])
    assert secret.secret("private_key") == KEY
    assert programs.command(RemoveCredential(account=MINE)).state is CommandState.DONE
    again = programs.command(RemoveCredential(account=MINE))
    assert again.state is CommandState.REFUSED
    assert "no credential of 'mine'" in again.answer


def opening(programs: Programs, passphrase: str) -> OpenVault:
    found = "SELECT detail FROM engine_state"
    programs.until(lambda: programs.rows(found), "the engine tells of itself")
    ((detail,),) = programs.rows(found)
    key = base64.b64decode(json.loads(str(detail))["unlock_key"])
    return OpenVault(sealed=vault.sealed_passphrase(passphrase, key))


def test_an_opened_vault_opens_no_account_that_is_locked(programs: Programs) -> None:
    empty = programs.command(opening(programs, PASSPHRASE))
    assert (empty.state, empty.answer) == (
        CommandState.REFUSED,
        "the vault is empty: set a key first",
    )
    programs.command(given(programs))
    left = programs.command(opening(programs, PASSPHRASE))
    assert left.state is CommandState.DONE
    assert left.answer.startswith("the vault is open: no account connects; mine stays closed")
    assert "its doctor must be green and its phrase typed" in left.answer
    torn = programs.command(OpenVault(sealed="not base64!"))
    assert torn.state is CommandState.REFUSED
    assert "not sealed for this start" in torn.answer
    programs.command(RemoveCredential(account=MINE))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"account": AccountId("demo")}, "no live account 'demo'"),
        ({"venue": "okx"}, "no live account 'mine' at okx"),
        ({"wallet": "0x12"}, "40 hex digits"),
        ({"fingerprint": "<b>"}, "fingerprint is not valid"),
        ({"sealed": "not base64!"}, "not a sealed credential"),
    ],
)
def test_what_cannot_be_right_is_refused_in_words(
    programs: Programs, changes: dict[str, Any], said: str
) -> None:
    left = programs.command(given(programs, **changes))
    assert left.state is CommandState.REFUSED
    assert said in left.answer
