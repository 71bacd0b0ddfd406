from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.live.environment import NAMES, take
from engine.runtime.unlocked import unlocked
from storage.live_accounts import Unlock

KEY, WALLET = "0x" + "1" * 64, "0x" + "Ab" * 20
GIVEN = {
    "POLYMARKET_ACCOUNT": "real",
    "POLYMARKET_PRIVATE_KEY": KEY,
    "POLYMARKET_WALLET": WALLET,
}
NOWHERE = Path("/nonexistent/.env")


def test_secrets_are_read_once_and_gone_from_the_environment() -> None:
    environment = {**GIVEN, "PATH": "/bin"}
    made = take(environment, NOWHERE)
    assert environment == {"PATH": "/bin"}
    assert (list(made), made["real"].private_key()) == (["real"], KEY)
    assert take(environment, NOWHERE) == {}


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    text = "\n".join(f"{name}={value}" for name, value in GIVEN.items())
    file.write_text(text + "\nPOLYMARKET_API_KEY=k\nPOLYMARKET_API_SECRET=$s\n")
    environment = {"POLYMARKET_ACCOUNT": "other", "POLYMARKET_API_PASSPHRASE": "p"}
    (name, made) = next(iter(take(environment, file).items()))
    assert (name, made.api()) == ("other", ("k", "$s", "p"))


@pytest.mark.parametrize("missing", list(GIVEN))
def test_part_of_a_credential_is_refused_without_its_value(missing: str) -> None:
    given = {name: value for name, value in GIVEN.items() if name != missing}
    with pytest.raises(ConfigError, match=missing) as refused:
        take(given, NOWHERE)
    assert KEY not in str(refused.value)


def test_no_test_runs_with_a_credential() -> None:
    assert not set(NAMES) & set(os.environ)


def test_locked_account_says_what_is_missing() -> None:
    kept = {
        "real": Unlock(account="real", wallet=WALLET.lower(), doctor_ns=1, phrase_ns=2, who="o")
    }
    assert "is live and locked" in unlocked("real", WALLET, {})
    assert unlocked("real", WALLET, kept) == ""
    assert "was unlocked for the wallet" in unlocked("real", "0x" + "9" * 40, kept)
