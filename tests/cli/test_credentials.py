"""`credentials`: piped in, never shown, never an argument."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.live import vault
from engine.live.credentials import from_vault
from engine.venues.polymarket.account.credentials import Credentials
from storage.schema import migrate
from storage.vault import read_vault

PASSPHRASE = "correct horse battery staple"
KEY = "0x" + "4b" * 32
WALLET = "0x" + "ab" * 20


def piped(monkeypatch: pytest.MonkeyPatch, home: Path, *lines: str) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(home))
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(line + "\n" for line in lines)))


def test_a_key_piped_in_is_kept_listed_and_forgotten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, tmp_path, PASSPHRASE, KEY)
    assert main(["credentials", "set", "mine", "--wallet", WALLET]) == 0
    assert main(["credentials", "--json", "list"]) == 0
    out, err = capsys.readouterr()
    (row,) = json.loads(out.splitlines()[-1])
    assert (row["account"], row["wallet"], row["fingerprint"]) == (
        "mine",
        WALLET,
        vault.fingerprint({"private_key": KEY}),
    )
    assert KEY[2:] not in out + err
    found = read_vault(tmp_path / "vault.json")
    assert found is not None
    opened = vault.Unlocked(found, PASSPHRASE)
    assert opened.open("mine", found.entries["mine"]).secret("private_key") == KEY
    assert main(["credentials", "remove", "mine"]) == 0
    assert main(["credentials", "list"]) == 0
    assert "holds no credential" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), "nothing was typed"),
        (("short",), "12 characters"),
        ((PASSPHRASE, ""), "nothing was typed"),
        ((PASSPHRASE, "0x1234"), "64 hex digits"),
    ],
)
def test_what_cannot_be_right_is_a_sentence_without_the_value(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    lines: tuple[str, ...],
    said: str,
) -> None:
    piped(monkeypatch, tmp_path, *lines)
    assert main(["credentials", "set", "mine", "--wallet", WALLET]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "0x1234" not in err
    assert read_vault(tmp_path / "vault.json") is None, "nothing was typed, nothing was made"


@pytest.mark.parametrize("name", ["mine", "Mine, the second"])
def test_a_key_is_never_taken_for_the_passphrase_of_a_new_vault(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    piped(monkeypatch, tmp_path, KEY, KEY)
    assert main(["credentials", "set", name, "--wallet", WALLET]) == (2 if name == "mine" else 3)
    assert KEY[2:] not in "".join(capsys.readouterr())
    assert read_vault(tmp_path / "vault.json") is None


@pytest.mark.parametrize("form", ["{}", "0x{}", "0X{}", "  0x{} \r"])
def test_a_key_is_taken_however_it_was_copied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    piped(monkeypatch, tmp_path, PASSPHRASE, form.format(KEY[2:].upper()))
    assert main(["credentials", "set", "mine", "--wallet", WALLET]) == 0
    (found,) = from_vault(tmp_path / "vault.json", PASSPHRASE).values()
    assert Credentials.of(found).private_key().lower() == KEY


def test_removing_what_is_not_there_is_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, tmp_path)
    assert main(["credentials", "remove", "mine"]) == 3
    assert "no vault yet" in capsys.readouterr().err


def test_without_an_engine_there_is_nobody_to_open_the_vault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, tmp_path, PASSPHRASE)
    migrate(tmp_path / "pitboss.db")
    assert main(["credentials", "open"]) == 3
    assert "no engine is running" in capsys.readouterr().err
