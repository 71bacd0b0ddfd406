"""Limits are rows: each has a field, and every field, reason and use has a row."""

from __future__ import annotations

from engine.domain.limits import LIMITS
from engine.domain.settings import RiskLimits
from engine.lab.replay.setup import limits_of
from engine.risk.reasons import MEANINGS, DenyReason
from pages import risk


def test_every_field_of_the_settings_has_a_row_and_no_other() -> None:
    assert set(LIMITS) == set(RiskLimits.model_fields)


def test_every_reason_of_the_gate_is_a_limits_but_the_latch_and_an_unknown_rate() -> None:
    told = {row.reason for row in LIMITS.values() if row.reason}
    assert set(map(str, DenyReason)) - told == {"latched", "rate_unknown"}
    assert all(MEANINGS.values())


def test_every_limit_stands_among_the_bars() -> None:
    drawn = risk.bars(RiskLimits(), [], "pUSD")
    assert all(row.title in drawn for row in LIMITS.values())


def test_every_limit_is_typed_at_the_command_line_as_its_unit() -> None:
    given = dict.fromkeys(LIMITS, "25")
    assert {name for name in LIMITS if getattr(limits_of(given), name)} == set(LIMITS)
