"""Which alert settings say what cannot be: judged when they are saved, not when they are read.

A version that was saved before it was judged goes on being read, so that its home starts; what is
wrong with it is said on the Alerts page and by `engine alerts`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

from engine.domain.alerts import ALERT_KINDS, SEVERITIES
from engine.domain.settings import AlertRule, AlertSettings

EVERY = "*"
"""A rule's word for every channel."""


def refusal(before: AlertSettings, after: AlertSettings) -> str:
    """Return what is wrong with a time zone or rules that are new or changed; empty = nothing."""
    found = [zone_refusal(after.zone)] if after.zone != before.zone else []
    for name, rule in after.rules.items():
        if rule != before.rules.get(name):
            found += _never(name, rule)
    return "; ".join(filter(None, found))


def warnings(alerts: AlertSettings, channels: Collection[str]) -> list[str]:
    """Return a sentence for all that has no effect; `channels` are the names there are now.

    A channel may be named before it is added, so that is no refusal.
    """
    found = [zone_refusal(alerts.zone)]
    for name, rule in sorted(alerts.rules.items()):
        found += _never(name, rule)
        named = dict.fromkeys((*rule.channels, *rule.escalate_to))
        missing = [one for one in named if one != EVERY and one not in channels]
        if missing:
            found.append(
                f"alert rule {name} names {', '.join(missing)}: there is no channel of this name, "
                "so nothing leaves by it"
            )
    return [one for one in found if one]


def zone_refusal(name: str) -> str:
    """Return why a time zone cannot be gone by; empty = this machine knows it."""
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        near = get_close_matches(name, available_timezones(), 1)
        other = f"; did you mean {near[0]}?" if near else ": write it as Europe/Berlin or UTC"
        return f"the time zone {name!r} is unknown on this machine{other}"
    return ""


def _never(name: str, rule: AlertRule) -> Iterator[str]:
    """Give what a rule names that it can never apply to."""
    least = SEVERITIES.index(rule.severity_min)
    for kind in rule.kinds:
        known = ALERT_KINDS.get(kind)
        if known is None:
            near = get_close_matches(kind, ALERT_KINDS, 1)
            other = f"; did you mean {near[0]}?" if near else ""
            yield f"alert rule {name}: there is no kind of alert {kind!r}{other}"
        elif SEVERITIES.index(known.severity) < least:
            yield (
                f"alert rule {name}: alerts of the kind {kind} are of severity {known.severity}, "
                f"below the rule's minimum severity {rule.severity_min}: it would never apply"
            )
    for group in rule.groups:
        of_it = [one.severity for one in ALERT_KINDS.values() if one.group is group]
        if of_it and max(map(SEVERITIES.index, of_it)) < least:
            yield (
                f"alert rule {name}: no alert of the group {group} is as severe as the rule's "
                f"minimum severity {rule.severity_min}: it would never apply"
            )
