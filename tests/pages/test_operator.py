from __future__ import annotations

import pytest
from argon2 import PasswordHasher, extract_parameters, profiles

from engine.config import Config
from engine.errors import BadInput, StorageError
from pages.frame.operator import ensure_operator, main
from storage.database import reading, writing
from storage.users import change_password, check_password


def test_the_first_password_is_given_once(config: Config) -> None:
    with writing(config.state_path) as connection:
        connection.execute("DELETE FROM users")
    password = ensure_operator(config)
    assert password is not None
    assert ensure_operator(config) is None
    with reading(config.state_path) as connection:
        assert check_password(connection, "operator", password) is not None
        assert check_password(connection, "operator", password + "x") is None
        stored = connection.execute("SELECT password_hash FROM users").fetchone()[0]
        audit = str(connection.execute("SELECT * FROM audit").fetchall())
    assert stored.startswith("$argon2id$")
    assert password not in stored + audit


def test_passwords_are_hashed_as_rfc_9106_recommends() -> None:
    assert extract_parameters(PasswordHasher().hash("x")) == profiles.RFC_9106_LOW_MEMORY


def test_a_home_that_was_never_migrated_is_told(tmp_path: object, config: Config) -> None:
    config.state_path.unlink()
    with pytest.raises(StorageError, match="migrate"):
        ensure_operator(config)


def test_a_lost_password_is_renewed_and_the_old_one_ends(
    config: Config, password: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 1
    assert main(["--renew"]) == 0
    shown = capsys.readouterr().out.split()[-1]
    with reading(config.state_path) as connection:
        assert check_password(connection, "operator", shown) is not None
        assert check_password(connection, "operator", password) is None


def test_an_unknown_argument_changes_nothing(config: Config, password: str) -> None:
    assert main(["--new"]) == 2
    with reading(config.state_path) as connection:
        assert check_password(connection, "operator", password) is not None


def test_a_password_is_changed_by_its_owner_alone(config: Config, password: str) -> None:
    with writing(config.state_path) as connection:
        with pytest.raises(BadInput, match="at least 12"):
            change_password(connection, name="operator", old=password, new="short", now_ns=1)
        with pytest.raises(BadInput, match="current password is wrong"):
            change_password(
                connection, name="operator", old="wrong", new="long enough words", now_ns=1
            )
        change_password(
            connection, name="operator", old=password, new="long enough words", now_ns=1
        )
        assert check_password(connection, "operator", "long enough words") is not None
