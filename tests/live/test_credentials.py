"""Credentials from two places: each is read once, none stays in an environment or a core."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.worker import ENVIRONMENT
from engine.errors import ConfigError, PitbossError
from engine.live import vault
from engine.live.credentials import PASSPHRASE, from_vault, locked_keys, take, take_all
from engine.runtime.credentials import Credential, unlocked
from engine.venues.registry import credential_names
from engine.watch.sender import KEPT
from storage.live_accounts import Unlock

ACCOUNT, KEY, WALLET, *API = credential_names()
API_PARTS = ("api_key", "api_secret", "api_passphrase")
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
OTHER_KEY, OTHER = "0x" + "4c" * 32, "0x" + "ad" * 20


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("vault") / "vault.json"
    made = vault.create(found, WORDS)
    given = Credential("polymarket", ADDRESS, {"private_key": SIGNING})
    vault.put(found, "kept", vault.seal(made, "kept", given), 1)
    return found


def test_both_places_are_read_and_the_environment_is_emptied(path: Path, tmp_path: Path) -> None:
    given = {ACCOUNT: "given", KEY: OTHER_KEY, WALLET: OTHER}
    environment = {PASSPHRASE: WORDS, **given, "HOME": "/"}
    found = take_all(environment, tmp_path / ".env", path)
    assert {name: one.wallet for name, one in found.items()} == {"given": OTHER, "kept": ADDRESS}
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


@pytest.mark.parametrize(
    ("words", "key", "purse"),
    [(WORDS, OTHER_KEY, ADDRESS.upper().replace("0X", "0x")), (WORDS, SIGNING, OTHER),
     ("", OTHER_KEY, ADDRESS)],
    ids=["one wallet", "one key", "one wallet, and the vault is locked"],
)  # fmt: skip
def test_two_accounts_of_one_wallet_or_key_are_refused_by_name(
    path: Path, tmp_path: Path, words: str, key: str, purse: str
) -> None:
    environment = {PASSPHRASE: words, ACCOUNT: "given", KEY: key, WALLET: purse}
    with pytest.raises(ConfigError, match="'given' and 'kept' have the same wallet or key"):
        take_all(dict(environment), tmp_path / ".env", path)
    # A KILL cancels for both.
    assert "given" in take_all(environment, tmp_path / ".env", path, {})


@pytest.mark.long
def test_a_process_that_holds_secrets_leaves_no_core() -> None:
    told = subprocess.run(
        [sys.executable, "-c", ASKED], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert told.stdout.strip() == "(0, 0)"


def test_no_program_but_the_engine_is_given_a_secret() -> None:
    found = configparser.RawConfigParser()
    found.read(REPOSITORY / "supervisord.conf")
    no_secret = {
        'MALLOC_ARENA_MAX="1"',
        'PITBOSS_DEMO_EXCHANGE_URL="http://127.0.0.1:%(ENV_DESK_DEMO_PORT)s"',
    }
    for program in ("demo", "worker", "dashboard"):
        set_ = {*found[f"program:{program}"]["environment"].split(",")}
        assert set_ - no_secret == {f'{name}=""' for name in (KEY, *API, PASSPHRASE)}


def test_programs_that_start_anew_still_say_where_a_library_aborted_them() -> None:
    found = configparser.RawConfigParser()
    found.read(REPOSITORY / "supervisord.conf")
    name, value = found["supervisord"]["environment"].split("=")
    assert (name, value) == ("PYTHONFAULTHANDLER", '"1"')
    assert name in ENVIRONMENT
    assert name in KEPT


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
        ("file", WORDS, "", "is no longer a vault"),
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
    locked_keys(vault_path, found, spared)  # raises nothing either


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


# -- the environment -------------------------------------------------------------------------------

FILLED, PURSE = "0x" + "1" * 64, "0x" + "Ab" * 20
GIVEN = {
    "POLYMARKET_ACCOUNT": "real",
    "POLYMARKET_PRIVATE_KEY": FILLED,
    "POLYMARKET_WALLET": PURSE,
}
NOWHERE = Path("/nonexistent/.env")


def test_secrets_are_read_once_and_gone_from_the_environment() -> None:
    environment = {**GIVEN, "PATH": "/bin"}
    made = take(environment, NOWHERE)
    assert environment == {"PATH": "/bin"}
    assert (list(made), made["real"].secret("private_key")) == (["real"], FILLED)
    assert take(environment, NOWHERE) == {}


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    text = "\n".join(f"{name}={value}" for name, value in GIVEN.items())
    file.write_text(text + "\nPOLYMARKET_API_KEY=k\nPOLYMARKET_API_SECRET=$s\n")
    environment = {"POLYMARKET_ACCOUNT": "other", "POLYMARKET_API_PASSPHRASE": "p"}
    (name, made) = next(iter(take(environment, file).items()))
    assert (name, tuple(map(made.secret, API_PARTS))) == ("other", ("k", "$s", "p"))


@pytest.mark.parametrize("missing", list(GIVEN))
def test_part_of_a_credential_is_refused_without_its_value(missing: str) -> None:
    given = {name: value for name, value in GIVEN.items() if name != missing}
    with pytest.raises(ConfigError, match=missing) as refused:
        take(given, NOWHERE)
    assert FILLED not in str(refused.value)


def test_no_test_runs_with_a_credential() -> None:
    assert not set(credential_names()) & set(os.environ)


def test_locked_account_says_what_is_missing() -> None:
    kept = {"real": Unlock(account="real", wallet=PURSE.lower(), doctor_ns=1, phrase_ns=2, who="o")}
    assert "is live and locked" in unlocked("real", PURSE, {})
    assert unlocked("real", PURSE, kept) == ""
    assert "was unlocked for the wallet" in unlocked("real", "0x" + "9" * 40, kept)
