from __future__ import annotations

import json
from sqlite3 import Connection
from typing import Any

import pytest

from engine.domain.settings import SettingsDocument
from engine.errors import BadInput, ConfigError
from engine.runtime.first_settings import first_settings
from storage import settings
from storage.rules import saved_rules
from storage.settings import Change, Saved, Stale

PAPER = {"name": "paper", "venue": "polymarket", "mode": "paper"}
MAKER = {"name": "maker", "strategy": "market_maker", "account": "paper", "capital": 100.0}


def save(
    connection: Connection, diff: dict[str, Any], base: int, who: str = "ann"
) -> Saved | Stale:
    return settings.save(
        connection, engine_id="e1", who=who, diff=diff, base_version=base, now_ns=500 + base
    )


def saved(connection: Connection, diff: dict[str, Any], base: int) -> int:
    answer = save(connection, diff, base)
    assert isinstance(answer, Saved)
    return answer.version


def test_version_0_is_the_empty_document(connection: Connection) -> None:
    first = settings.latest(connection, "e1")
    assert (first.version, first.document.bots) == (0, {})
    assert settings.in_force(connection, "e1") == first


def test_a_diff_makes_the_next_version(connection: Connection) -> None:
    assert saved(connection, {"accounts": {"paper": PAPER}}, 0) == 1
    assert saved(connection, {"bots": {"maker": MAKER}}, 1) == 2
    answer = save(connection, {"bots": {"maker": {"capital": 250}}}, 2)
    assert answer == Saved(version=3, changes=(Change("bots.maker.capital", 100.0, 250.0),))
    newest = settings.latest(connection, "e1")
    assert (newest.version, newest.base_version, newest.who, newest.at_ns) == (3, 2, "ann", 502)
    assert newest.document.bots["maker"].capital == 250.0
    assert settings.read(connection, "e1", 2).document.bots["maker"].capital == 100.0


def test_null_removes(connection: Connection) -> None:
    saved(connection, {"accounts": {"paper": PAPER}, "bots": {"maker": MAKER}}, 0)
    saved(connection, {"bots": {"maker": None}}, 1)
    assert settings.latest(connection, "e1").document.bots == {}


def test_a_limit_changes_from_percent_to_absolute(connection: Connection) -> None:
    saved(connection, {"accounts": {"paper": PAPER}}, 0)
    limits = {"order_value_max": {"absolute": 25, "percent": None}}
    saved(connection, {"accounts": {"paper": {"limits": limits}}}, 1)
    account = settings.latest(connection, "e1").document.accounts["paper"]
    assert account.limits.order_value_max.absolute == 25.0


def test_a_stale_edit_is_refused_and_both_versions_are_shown(connection: Connection) -> None:
    saved(connection, {"accounts": {"paper": PAPER}, "bots": {"maker": MAKER}}, 0)
    saved(connection, {"bots": {"maker": {"capital": 250}}}, 1)
    answer = save(connection, {"bots": {"maker": {"capital": 300}}}, 1, who="bob")
    assert isinstance(answer, Stale)
    assert (answer.base.version, answer.latest.version) == (1, 2)
    assert answer.changes_since == (Change("bots.maker.capital", 100.0, 250.0),)
    assert settings.latest(connection, "e1").document.bots["maker"].capital == 250.0


def test_an_edit_of_nothing_makes_no_version(connection: Connection) -> None:
    saved(connection, {"accounts": {"paper": PAPER}}, 0)
    assert save(connection, {"accounts": {"paper": PAPER}}, 1) == Saved(version=1, changes=())
    assert settings.latest(connection, "e1").version == 1


@pytest.mark.parametrize(
    "diff",
    [
        {"bots": {"maker": {**MAKER, "capital": -1}}},
        {"bots": {"maker": {**MAKER, "account": "nowhere"}}},
        {"bots": {"other": MAKER}},
        {"accounts": {"other": PAPER}},
        {"surprise": 1},
    ],
)
def test_an_invalid_edit_changes_nothing(connection: Connection, diff: dict[str, Any]) -> None:
    saved(connection, {"accounts": {"paper": PAPER}}, 0)
    with pytest.raises(BadInput, match="the settings are not valid"):
        save(connection, diff, 1)
    assert settings.latest(connection, "e1").version == 1
    assert connection.execute("SELECT count(*) FROM audit").fetchone()[0] == 1


@pytest.mark.parametrize(
    ("diff", "text"),
    [
        ({"surprise": 1}, "valid: surprise: Extra inputs are not permitted; nothing was saved"),
        ({"bots": {"maker": {**MAKER, "account": "nowhere"}}}, "valid: together: "),
    ],
)
def test_an_invalid_edit_is_refused_in_a_sentence(
    connection: Connection, diff: dict[str, Any], text: str
) -> None:
    saved(connection, {"accounts": {"paper": PAPER}}, 0)
    with pytest.raises(BadInput) as refused:
        save(connection, diff, 1)
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "http" not in str(refused.value)


def test_the_audit_row_comes_with_the_version(connection: Connection) -> None:
    saved(connection, {"accounts": {"paper": PAPER}}, 0)
    saved(connection, {"accounts": {"paper": {"starting_cash": 50}}}, 1)
    who, what, detail = connection.execute(
        "SELECT who, what, detail FROM audit ORDER BY id DESC"
    ).fetchone()
    assert (who, what) == ("ann", "settings 2 saved")
    change = {"path": "accounts.paper.starting_cash", "before": 1000.0, "after": 50.0}
    assert json.loads(detail) == {"base": 1, "changes": [change]}


def test_saved_is_not_in_force_until_applied(connection: Connection) -> None:
    saved(connection, {"accounts": {"paper": PAPER}}, 0)
    assert settings.in_force(connection, "e1").version == 0
    settings.applied(connection, "e1", 1, 900)
    assert settings.in_force(connection, "e1").applied_ns == 900
    with pytest.raises(BadInput, match="no version 7"):
        settings.applied(connection, "e1", 7, 900)
    with pytest.raises(BadInput, match="no version 7"):
        settings.read(connection, "e1", 7)


def test_engines_do_not_share_settings(connection: Connection) -> None:
    saved(connection, {"accounts": {"paper": PAPER}}, 0)
    assert settings.latest(connection, "e2").version == 0


def test_what_was_applied_last_is_in_force_after_the_clock_went_back(
    connection: Connection,
) -> None:
    saved(connection, {"accounts": {"paper": PAPER}}, 0)
    saved(connection, {"bots": {"maker": MAKER}}, 1)
    settings.applied(connection, "e1", 1, 900)
    settings.applied(connection, "e1", 2, 200)
    assert settings.in_force(connection, "e1").version == 2
    settings.applied(connection, "e1", 1, 300)
    assert settings.in_force(connection, "e1").version == 1


DAMAGES = {
    "no JSON": ("body", "'{'"),
    "no object": ("body", "'[]'"),
    "one letter changed": ("body", "replace(body, 'polymarket', 'polymarke\u0007')"),
    "of another kind": ("body", '\'{"accounts": {"a": 1}}\''),
    "nested too deep": ("body", f"'{'[' * 100_000}'"),
    "bytes": ("body", "CAST(body AS BLOB)"),
    "no text": ("body", "CAST(x'7bff7d' AS TEXT)"),
    "a base of words": ("base_version", "'one'"),
    "a time of words": ("at_ns", "'late'"),
    "a version of words": ("version", "'two'"),
    "a version far too large": ("version", str(2**63 - 1)),
    "bytes for a name": ("who", "x'ff'"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_version_leaves_the_last_valid_one_in_force_and_the_next_can_be_saved(
    connection: Connection, name: str
) -> None:
    column, value = DAMAGES[name]
    saved(connection, {"accounts": {"paper": PAPER}}, 0)
    saved(connection, {"bots": {"maker": MAKER}}, 1)
    settings.applied(connection, "e1", 1, 900)
    settings.applied(connection, "e1", 2, 901)
    connection.execute(f"UPDATE settings SET {column} = {value} WHERE version = 2")
    assert settings.latest(connection, "e1").version == 1
    assert settings.in_force(connection, "e1").version == 1
    made = saved(connection, {"accounts": {"paper": {"starting_cash": 7}}}, 1)
    settings.applied(connection, "e1", made, 902)
    assert settings.in_force(connection, "e1").version == made
    assert settings.in_force(connection, "e1").document.accounts["paper"].starting_cash == 7


@pytest.mark.parametrize("value", ["'soon'", "x'00'", str(2**63 - 1), "-1"])
def test_a_version_applied_at_no_time_is_not_in_force_for_ever(
    connection: Connection, value: str
) -> None:
    saved(connection, {"accounts": {"paper": PAPER}}, 0)
    saved(connection, {"bots": {"maker": MAKER}}, 1)
    settings.applied(connection, "e1", 1, 900)
    connection.execute(f"UPDATE settings SET applied_ns = {value} WHERE version = 2")
    assert settings.in_force(connection, "e1").version == 1
    settings.applied(connection, "e1", 1, 901)
    assert settings.in_force(connection, "e1").applied_ns == 901


def test_why_a_version_is_set_aside_is_told(connection: Connection) -> None:
    saved(connection, {"accounts": {"paper": PAPER}}, 0)
    settings.applied(connection, "e1", 1, 900)
    saved(connection, {"bots": {"maker": MAKER}}, 1)
    settings.applied(connection, "e1", 2, 901)

    def judge(document: SettingsDocument) -> None:
        if document.bots:
            raise ConfigError("account 'paper' cannot become live")

    found, aside = settings.last_in_force(connection, "e1", judge)
    assert (found.version, aside) == (1, ("version 2: account 'paper' cannot become live",))
    connection.execute("UPDATE settings SET body = '{' WHERE version = 1")
    found, aside = settings.last_in_force(connection, "e1", judge)
    assert (found.version, len(aside)) == (0, 2)


def test_no_first_settings_are_made_where_all_there_are_cannot_be_read(
    connection: Connection,
) -> None:
    saved(connection, {"accounts": {"paper": PAPER}}, 0)
    connection.execute("UPDATE settings SET body = '{', version = 'one'")
    assert not first_settings(connection, "e1", 1)
    assert settings.latest(connection, "e1").version == 0
    assert first_settings(connection, "e2", 1)
    document = settings.in_force(connection, "e2")
    assert document.version == 1
    (rule,) = saved_rules(connection, "e2")
    assert document.document.bots["demo-rule"].parameters["document"] == rule.document


def test_what_each_version_made_changed_and_removed_of_a_bot(connection: Connection) -> None:
    saved(connection, {"accounts": {"paper": PAPER}, "bots": {"maker": MAKER}}, 0)
    saved(connection, {"bots": {"maker": {"capital": 250}}}, 1)
    saved(connection, {"bots": {"other": MAKER | {"name": "other", "capital": 1.0}}}, 2)
    connection.execute("UPDATE settings SET body = 'torn' WHERE version = 2")
    saved(connection, {"bots": {"maker": None}}, 3)
    found = settings.bot_changes(connection, "e1")
    assert [(one.bot, one.version, one.previous) for one in found] == [
        ("maker", 1, 0), ("maker", 3, 1), ("other", 3, 1), ("maker", 4, 3)
    ]  # fmt: skip
    (gone,) = settings.removed_bots(connection, "e1").values()
    assert (gone.bot, gone.version, gone.after, gone.who) == ("maker", 4, "", "ann")
    assert json.loads(gone.before)["capital"] == 250.0
