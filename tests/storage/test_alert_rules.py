"""Alert settings that say what cannot be: refused when they are saved, said when they are read."""

from __future__ import annotations

import json
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from engine.domain.jobs.report import ReportPeriod
from engine.errors import BadInput
from storage import settings
from storage.alert_rules import warnings
from storage.database import insert
from storage.report_figures import made_report
from storage.settings import Saved


def save(connection: Connection, alerts: dict[str, Any]) -> Saved:
    base = settings.latest(connection, "e1").version
    diff = {"alerts": alerts}
    made = settings.save(
        connection, engine_id="e1", who="ann", diff=diff, base_version=base, now_ns=base
    )
    assert isinstance(made, Saved)
    return made


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        ({"zone": "Europe/Berln"}, "'Europe/Berln' is unknown on this machine; did you mean Eur"),
        ({"zone": "Europe"}, "the time zone 'Europe' is unknown"),
        ({"zone": ""}, "the time zone '' is unknown"),
        ({"rules": {"a": {"kinds": ["reprot"]}}}, "no kind of alert 'reprot'; did you mean report"),
        (
            {"rules": {"a": {"kinds": ["report"]}}},
            "the kind report are of severity info, below the rule's minimum severity warning",
        ),
        (
            {"rules": {"a": {"groups": ["markets"], "severity_min": "critical"}}},
            "no alert of the group markets is as severe as",
        ),
    ],
)
def test_what_can_never_apply_is_refused_in_a_sentence(
    connection: Connection, alerts: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput) as refused:
        save(connection, alerts)
    assert said in str(refused.value)
    assert str(refused.value).endswith("; nothing was saved")
    assert settings.latest(connection, "e1").version == 0


def test_what_can_apply_is_saved_and_a_channel_may_come_after_its_rule(
    connection: Connection,
) -> None:
    rule = {"kinds": ["report"], "severity_min": "info", "channels": ["mail"], "escalate_to": ["x"]}
    save(connection, {"zone": "Europe/Berlin", "rules": {"a": rule, "b": {"groups": ["other"]}}})
    alerts = settings.latest(connection, "e1").document.alerts
    (said,) = warnings(alerts, ["phone"])
    assert said.startswith("alert rule a names mail, x: there is no channel of this name")
    assert warnings(alerts, ["mail", "x"]) == []


def test_a_home_that_kept_what_cannot_be_goes_on_and_is_edited_and_says_so(
    connection: Connection, tmp_path: Path
) -> None:
    kept = {"zone": "Europe/Berln", "rules": {"old": {"kinds": ["gone"]}}}
    insert(
        connection, "settings", engine_id="e1", version=1, base_version=0, at_ns=1, who="ann",
        body=json.dumps({"alerts": kept}), applied_ns=1,
    )  # fmt: skip
    assert settings.in_force(connection, "e1").version == 1
    assert save(connection, {"ack_hours": 5}).version == 2, "what is wrong since before stays"
    said = "; ".join(warnings(settings.latest(connection, "e1").document.alerts, ()))
    assert "time zone 'Europe/Berln' is unknown" in said
    assert "no kind of alert 'gone'" in said
    report = made_report(connection, "e1", ReportPeriod.DAILY, 10**18, tmp_path)
    assert report.zone == "UTC"
    assert "'Europe/Berln' is unknown" in report.lacks[-2]
