"""`quotes` from the command line: told, saved and put in force, or refused in words."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.locks import locked
from storage.commands import CommandState, answer, claim
from storage.database import connect_writer, reading, writing
from storage.schema import migrate
from storage.settings import applied, in_force, latest, save
from storage.users import ENGINE_ID

ACCOUNT = {"name": "real", "venue": "polymarket", "mode": "live"}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of a home with one live account in force."""
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    path = tmp_path / "pitboss.db"
    migrate(path)
    with writing(path) as connection:
        save(
            connection, engine_id=ENGINE_ID, who="ann", diff={"accounts": {"real": ACCOUNT}},
            base_version=0, now_ns=1,
        )  # fmt: skip
        applied(connection, ENGINE_ID, 1, 1)
    return path


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_it_tells_how_quotes_end(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert state.exists()
    assert main(["quotes", "real", "--json"]) == 0
    found = printed(capsys)
    assert found["quote_life_s"] is None
    assert "until they are cancelled" in str(found["text"])


def test_without_an_engine_it_is_saved_and_said_to_be_no_more(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quotes", "real", "--expire-after", "300", "--wait", "0", "--json"]) == 1
    assert "saved and NOT in force: no engine is running on" in str(printed(capsys)["text"])
    with reading(state) as connection:
        assert latest(connection, ENGINE_ID).document.accounts["real"].quote_life_s == 300
        assert in_force(connection, ENGINE_ID).version == 1
    assert main(["quotes", "real", "--good-till-cancelled", "--json"]) == 3
    assert "saved and not applied" in str(printed(capsys)["text"])


def test_an_engines_answer_is_told(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    connection = connect_writer(state)
    engine = locked(state.parent / "run" / "engine.lock", "engine")
    try:
        assert main(["quotes", "real", "--expire-after", "300", "--wait", "0", "--json"]) == 1
        (left,) = claim(connection, ENGINE_ID, time.time_ns())
        applied(connection, ENGINE_ID, 2, 2)
        answer(connection, ENGINE_ID, left.id, state=CommandState.DONE, text="in force", now_ns=3)
    finally:
        connection.close()
        engine.close()
    capsys.readouterr()
    assert main(["quotes", "real", "--json"]) == 0
    assert printed(capsys)["quote_life_s"] == 300


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nobody", "--expire-after", "300"], "there is no account 'nobody'; known: real"),
        (["real", "--expire-after", "200"], "at least 240 are asked"),
        (["real", "--expire-after", "86401"], "equal to 86400; nothing was saved"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    state: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert main(["quotes", *words, "--json"]) in {2, 3}
    assert sentence in str(printed(capsys)["text"])
    with reading(state) as connection:
        assert latest(connection, ENGINE_ID).version == 1
