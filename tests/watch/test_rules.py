from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from engine.domain.alerts import ALERT_KINDS, AlertKind, Sent, Severity, described
from engine.domain.settings import AlertSettings, SettingsDocument
from engine.watch.rules import AlertsRead, RuleRead, SettingsReader, quiet_until_ns, routes

RULES = AlertsRead().rules
BOTH = ("mail", "phone")


def test_the_watch_reads_what_the_settings_hold() -> None:
    read, held = AlertsRead(), AlertSettings()
    assert msgspec.json.decode(msgspec.json.encode(read)) == held.model_dump(mode="json")
    full = AlertSettings.model_validate(
        {
            "rules": {"a": {"kinds": ["kill"], "groups": ["bots"], "quiet": "22:00-07:00"}},
            "prices": {"p": {"instrument": "demo:x", "above": 0.5}},
        }
    )
    again = msgspec.json.decode(full.model_dump_json(), type=AlertsRead)
    assert msgspec.json.decode(msgspec.json.encode(again)) == full.model_dump(mode="json")
    assert SettingsDocument().alerts == held, "a document of before has the default rules"


def test_the_address_as_shipped_is_where_this_desks_dashboard_is() -> None:
    assert SettingsReader(None, 8601).now.address == "http://127.0.0.1:8601"
    own = msgspec.structs.replace(AlertsRead(), address="https://desk.example.org")
    kept = msgspec.json.encode(own).decode()
    assert SettingsReader(kept, 8601).now.address == "https://desk.example.org"
    assert SettingsReader(None).now.address == AlertSettings().address, "no port is known"


def named(kind: str, rules: dict[str, RuleRead] = RULES) -> dict[str, str]:
    return {one.channel: one.name for one in routes(described(kind), BOTH, rules)}


def test_critical_goes_to_every_channel_at_once_warning_in_a_digest_info_nowhere() -> None:
    assert named("kill") == dict.fromkeys(BOTH, "critical")
    (first, _) = routes(described("feed"), BOTH, RULES)
    assert first.rule.digest_min == 15
    assert named("price_improved") == {}


def test_the_rule_that_names_the_kind_decides_before_the_one_that_names_the_group() -> None:
    rules = RULES | {
        "bots": RuleRead(groups=("bots",), channels=("mail",)),
        "rests": RuleRead(kinds=("bot_rests",), channels=("mail", "phone"), mute=True),
    }
    assert named("bot_error", rules) == {"mail": "bots", "phone": "critical"}
    assert named("bot_rests", rules) == {}


def test_a_rule_that_is_off_or_too_severe_names_nothing() -> None:
    rules = {
        "off": RuleRead(on=False),
        "severe": RuleRead(groups=("bots",), severity_min=Severity.CRITICAL),
    }
    assert named("bot_rests", rules) == {}
    assert set(named("bot_error", rules)) == set(BOTH)


def test_a_kind_may_leave_at_once_or_not_at_all_unless_a_rule_names_it() -> None:
    at_once = routes(described("large_fill"), BOTH, RULES)
    assert [one.rule.digest_min for one in at_once] == [0, 0]
    silent = AlertKind("x", "X", "", Severity.WARNING, sent=Sent.NOT)
    assert routes(silent, BOTH, RULES) == []
    assert len(routes(silent, BOTH, {"x": RuleRead(kinds=("x",))})) == 2


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-25T21:59:59", None),
        ("2026-11-25T22:00:00", "2026-11-26T07:00:00"),
        ("2026-11-26T06:59:59", "2026-11-26T07:00:00"),
        ("2026-11-26T07:00:00", None),
    ],
)
def test_quiet_hours_over_midnight(now: str, until: str | None) -> None:
    rule, kind = RuleRead(quiet="22:00-07:00"), described("feed")
    assert quiet_until_ns(rule, kind, "UTC", at(now)) == (at(until) if until else 0)
    assert quiet_until_ns(rule, described("kill"), "UTC", at(now)) == 0


def test_quiet_hours_follow_the_operators_zone_over_its_change_of_time() -> None:
    rule, kind = RuleRead(quiet="22:00-07:00"), described("feed")
    # On 2026-10-25 Berlin's clocks go back at 03:00: 22:00 is 20:00 UTC, 07:00 is 06:00 UTC.
    evening = at("2026-10-24T20:30:00")
    assert quiet_until_ns(rule, kind, "Europe/Berlin", evening) == at("2026-10-25T06:00:00")
    assert quiet_until_ns(rule, kind, "No/Such", at("2026-10-24T21:00:00")) == 0


def test_every_kind_says_what_it_needs() -> None:
    for kind in ALERT_KINDS.values():
        assert kind.title, kind.name
        assert kind.page, kind.name
        if kind.severity is not Severity.INFO:
            assert kind.advice.endswith("."), f"{kind.name} tells nothing to do"


def test_settings_that_cannot_be_read_leave_the_last_ones_in_force() -> None:
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE settings (engine_id, version INTEGER, body)")
    reader = SettingsReader(None)
    connection.execute(
        "INSERT INTO settings VALUES ('e', 1, ?)", ('{"alerts": {"zone": "Europe/Paris"}}',)
    )
    reader.read(connection, "e")
    assert reader.now.zone == "Europe/Paris"
    connection.execute("INSERT INTO settings VALUES ('e', 2, ?)", ('{"alerts": {"zone": 7}}',))
    reader.read(connection, "e")
    assert "version 2" in reader.error
    assert reader.now.zone == "Europe/Paris"
    assert SettingsReader(reader.kept()).now == reader.now
