"""The vault: what goes in comes out for its own account alone, and nothing of it is readable."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BadInput, ConfigError, StorageError
from engine.live import vault
from engine.runtime.credentials import Credential
from storage.vault import VaultEntry, VaultFile, read_vault

PASSPHRASE = "correct horse battery staple"
KEY = "0x" + "4b" * 32
WALLET = "0x" + "Ab" * 20


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault with one credential."""
    path = tmp_path_factory.mktemp("vault") / "vault.json"
    opened = vault.create(path, PASSPHRASE)
    secret = {"private_key": KEY}
    vault.put(path, "mine", vault.seal(opened, "mine", Credential("polymarket", WALLET, secret)), 7)
    return path


@pytest.fixture(scope="module")
def unlocked(made: Path) -> vault.Unlocked:
    return vault.Unlocked(held(made), PASSPHRASE)


def held(path: Path) -> VaultFile:
    found = read_vault(path)
    assert found is not None
    return found


def test_what_was_sealed_opens_for_its_account(made: Path, unlocked: vault.Unlocked) -> None:
    entry = held(made).entries["mine"]
    assert unlocked.open("mine", entry).secret("private_key") == KEY
    assert (entry.venue, entry.wallet, entry.added_ns) == ("polymarket", WALLET, 7)
    assert entry.fingerprint == vault.fingerprint({"private_key": KEY.upper().replace("0X", "0x")})


def test_a_passphrase_is_stretched_as_rfc_9106_recommends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vault_work: tuple[int, int, int]
) -> None:
    assert vault_work == (3, 4, 64 * 1024), "its second recommended option"
    for name, shipped in zip(("ITERATIONS", "LANES", "MEMORY_KIB"), vault_work, strict=True):
        monkeypatch.setattr(vault, name, shipped)
    wrapped = vault.create(tmp_path / "vault.json", PASSPHRASE).wrapped
    assert (wrapped.iterations, wrapped.lanes, wrapped.memory_kib) == vault_work
    monkeypatch.undo()
    vault.Unlocked(held(tmp_path / "vault.json"), PASSPHRASE)


def test_nothing_of_a_key_is_readable_in_the_file(made: Path) -> None:
    text = made.read_text()
    assert KEY.removeprefix("0x") not in text
    assert PASSPHRASE not in text
    assert made.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("account", "changed"),
    [("other", {}), ("mine", {"wallet": "0x" + "cd" * 20}), ("mine", {"venue": "okx"})],
)
def test_a_credential_moved_elsewhere_does_not_open(
    made: Path, unlocked: vault.Unlocked, account: str, changed: dict[str, str]
) -> None:
    entry = msgspec.structs.replace(held(made).entries["mine"], **changed)
    with pytest.raises(BadInput, match="set it again"):
        unlocked.open(account, entry)


@settings(max_examples=30)
@given(st.data())
def test_a_single_changed_byte_is_noticed(
    made: Path, unlocked: vault.Unlocked, data: st.DataObject
) -> None:
    entry = held(made).entries["mine"]
    place = data.draw(st.integers(0, len(entry.sealed) - 1))
    flip = data.draw(st.integers(1, 255))
    bent = bytearray(entry.sealed)
    bent[place] ^= flip
    with pytest.raises(BadInput, match="set it again"):
        unlocked.open("mine", msgspec.structs.replace(entry, sealed=bytes(bent)))


def test_a_false_fingerprint_is_noticed(made: Path, unlocked: vault.Unlocked) -> None:
    entry = msgspec.structs.replace(held(made).entries["mine"], fingerprint="0" * 12)
    with pytest.raises(BadInput, match="not the one it is shown as"):
        unlocked.open("mine", entry)


def test_another_passphrase_does_not_open_it(made: Path) -> None:
    with pytest.raises(ConfigError, match="does not open"):
        vault.Unlocked(held(made), PASSPHRASE + " ")


def test_a_vault_whose_public_key_was_exchanged_does_not_open(made: Path) -> None:
    bent = msgspec.structs.replace(held(made), public_key=bytes(32))
    with pytest.raises(ConfigError, match="does not open"):
        vault.Unlocked(bent, PASSPHRASE)


@pytest.mark.parametrize(
    ("key", "wallet"), [("0x" + "4c" * 32, WALLET.lower()), (KEY, "0x" + "cd" * 20)]
)
def test_a_second_account_of_a_wallet_or_key_is_not_kept(made: Path, key: str, wallet: str) -> None:
    entry = vault.seal(held(made), "twin", Credential("polymarket", wallet, {"private_key": key}))
    with pytest.raises(BadInput, match="'mine' and 'twin' have the same wallet or key"):
        vault.put(made, "twin", entry, 8)
    assert set(held(made).entries) == {"mine"}


def test_a_weak_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="12 characters"):
        vault.create(tmp_path / "v", "short")
    assert not (tmp_path / "v").exists()


def test_a_second_vault_is_not_made_over_the_first(made: Path) -> None:
    before = made.read_bytes()
    with pytest.raises(BadInput, match="already"):
        vault.create(made, PASSPHRASE)
    assert made.read_bytes() == before


def test_a_removed_credential_is_gone(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "vault.json"
    path.write_bytes(made.read_bytes())
    vault.remove(path, "mine")
    assert held(path).entries == {}
    with pytest.raises(BadInput, match="holds no credential of 'mine'"):
        vault.remove(path, "mine")


@pytest.mark.parametrize("name", ["", "Mine", "../x", "a" * 41, "-a", "a\nb"])
def test_an_account_of_a_strange_name_is_refused(made: Path, name: str) -> None:
    entry = held(made).entries["mine"]
    with pytest.raises(BadInput, match="name takes"):
        vault.put(made, name, entry, 8)


def test_what_is_no_sealed_credential_is_refused(made: Path) -> None:
    entry = held(made).entries["mine"]
    for sealed in (b"", b"x" * (vault.SEALED_BYTES_MAX + 1)):
        with pytest.raises(BadInput, match="not a sealed credential"):
            vault.put(made, "mine", msgspec.structs.replace(entry, sealed=sealed), 8)


def test_a_torn_file_is_told_and_an_absent_one_is_none(made: Path, tmp_path: Path) -> None:
    assert read_vault(tmp_path / "nothing") is None
    torn = tmp_path / "vault.json"
    torn.write_bytes(made.read_bytes()[:-40])
    with pytest.raises(BadInput, match="no longer a vault"):
        read_vault(torn)
    torn.write_bytes(made.read_bytes().replace(b'"version": 1', b'"version": 9'))
    with pytest.raises(BadInput, match="version 9"):
        read_vault(torn)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_refuses_leaves_the_vault_as_it_was(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "vault.json"
    path.write_bytes(made.read_bytes())
    (tmp_path / f"vault.json.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="as it was"):
        vault.put(path, "mine", held(made).entries["mine"], 8)
    assert path.read_bytes() == made.read_bytes()


def test_open_secrets_show_nothing_and_are_not_pickled(
    made: Path, unlocked: vault.Unlocked
) -> None:
    secret = unlocked.open("mine", held(made).entries["mine"])
    for one in (secret, unlocked):
        assert "hidden" in f"{one} {one!r}"
        assert KEY[2:] not in f"{one} {one!r}"
        with pytest.raises(TypeError, match="not written anywhere"):
            pickle.dumps(one)


def test_an_entry_of_the_right_shape_but_no_meaning_is_refused(unlocked: vault.Unlocked) -> None:
    entry = VaultEntry(venue="polymarket", wallet=WALLET, fingerprint="", added_ns=0, sealed=b"x")
    with pytest.raises(BadInput, match="set it again"):
        unlocked.open("mine", entry)
