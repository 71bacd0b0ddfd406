"""The kind of alert raised where a venue is not what this program was proven with."""

from __future__ import annotations

from engine.domain.alerts import AlertKind

DRIFT = AlertKind(
    "venue_drift", "A venue changed", "Run `engine canary`; do not trade live where it fails."
)
