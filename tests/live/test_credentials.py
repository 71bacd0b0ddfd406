"""Credentials from two places: each is read once, none stays in an environment or a core."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import ConfigError, PitbossError
from engine.live import vault
from engine.live.credentials import PASSPHRASE, from_vault, locked_wallets, take_all
from engine.live.environment import ACCOUNT, API, KEY, WALLET

REPOSITORY = Path(__file__).resolve().parents[2]
WORDS = "correct horse battery staple"
ASKED = """
import resource
from engine.live.handover import keep_to_itself
keep_to_itself()
print(resource.getrlimit(resource.RLIMIT_CORE))
"""
SIGNING = "0x" + "4b" * 32
ADDRESS = "0x" + "ab" * 20


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("vault") / "vault.json"
    made = vault.create(found, WORDS)
    secret = vault.Secret(private_key=SIGNING)
    vault.put(found, "kept", vault.seal(made, "kept", "polymarket", ADDRESS, secret), 1)
    return found


def test_both_places_are_read_and_the_environment_is_emptied(path: Path, tmp_path: Path) -> None:
    environment = {PASSPHRASE: WORDS, ACCOUNT: "given", KEY: SIGNING, WALLET: ADDRESS, "HOME": "/"}
    found = take_all(environment, tmp_path / ".env", path)
    assert {name: one.wallet for name, one in found.items()} == {"given": ADDRESS, "kept": ADDRESS}
    assert environment == {"HOME": "/"}


def test_a_passphrase_may_stand_in_the_file(path: Path, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"{PASSPHRASE}={WORDS}\n")
    assert set(take_all({}, file, path)) == {"kept"}


def test_a_vault_that_stays_locked_opens_nothing(path: Path, tmp_path: Path) -> None:
    assert take_all({}, tmp_path / ".env", path) == {}
    assert from_vault(tmp_path / "no vault", WORDS) == {}


def test_an_account_with_two_credentials_is_refused(path: Path, tmp_path: Path) -> None:
    environment = {PASSPHRASE: WORDS, ACCOUNT: "kept", KEY: SIGNING, WALLET: ADDRESS}
    with pytest.raises(ConfigError, match="remove one of them"):
        take_all(environment, tmp_path / ".env", path)


def test_a_process_that_holds_secrets_leaves_no_core() -> None:
    told = subprocess.run(
        [sys.executable, "-c", ASKED], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert told.stdout.strip() == "(0, 0)"


def test_no_program_but_the_engine_is_given_a_secret() -> None:
    found = configparser.RawConfigParser()
    found.read(REPOSITORY / "supervisord.conf")
    for program in ("demo", "worker", "dashboard"):
        set_ = found[f"program:{program}"]["environment"].split(",")
        assert {*set_} == {f'{name}=""' for name in (KEY, *API, PASSPHRASE)}


def torn(path: Path, tmp_path: Path, change: str) -> Path:
    """Copy the vault with what stands in it damaged in one place."""
    copied = tmp_path / "vault.json"
    whole = path.read_text()
    copied.write_text(
        whole[:-40] if change == "file" else whole.replace('"wallet": "0xab', '"wallet": "0xac')
    )
    return copied


@pytest.mark.parametrize(
    ("change", "passphrase", "concerned", "why"),
    [
        ("none", "not the passphrase", "kept", "does not open the vault"),
        ("file", WORDS, "", "is no vault any more"),
        ("entry", WORDS, "kept", "was not sealed for this vault"),
    ],
)
def test_a_kill_is_told_what_cannot_be_read_and_given_what_can(
    path: Path, tmp_path: Path, change: str, passphrase: str, concerned: str, why: str
) -> None:
    environment = {PASSPHRASE: passphrase, ACCOUNT: "given", KEY: SIGNING, WALLET: ADDRESS}
    vault_path = torn(path, tmp_path, change)
    with pytest.raises(PitbossError, match=why):
        take_all(dict(environment), tmp_path / ".env", vault_path)
    spared: dict[str, str] = {}
    found = take_all(environment, tmp_path / ".env", vault_path, spared)
    assert (set(found), environment) == ({"given"}, {})
    assert list(spared) == [concerned]
    assert why in spared[concerned]
    locked_wallets(vault_path, found, spared)  # raises nothing either


def test_a_kill_takes_the_environment_where_the_file_cannot_be_read(
    path: Path, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"PITBOSS_HOME=\xff\n")
    environment = {ACCOUNT: "given", KEY: SIGNING, WALLET: ADDRESS}
    with pytest.raises(ConfigError, match="cannot be read"):
        take_all(dict(environment), file, path)
    spared: dict[str, str] = {}
    assert set(take_all(environment, file, path, spared)) == {"given"}
    assert "cannot be read" in spared[""]


@pytest.mark.parametrize(("purse", "signs"), [(ADDRESS, True), ("0x" + "cd" * 20, False)])
def test_a_kill_takes_two_credentials_of_one_wallet_for_one(
    path: Path, tmp_path: Path, purse: str, signs: bool
) -> None:
    environment = {PASSPHRASE: WORDS, ACCOUNT: "kept", KEY: SIGNING, WALLET: purse}
    spared: dict[str, str] = {}
    assert ("kept" in take_all(environment, tmp_path / ".env", path, spared)) is signs
    assert ("kept" in spared) is not signs
