"""Rules: which alerts leave by which channel, drawn as forms with their diff."""

from __future__ import annotations

import streamlit as st

from engine.domain.alerts import ALERT_KINDS, SEVERITIES, AlertGroup, described
from engine.domain.settings import AlertRule, AlertThresholds
from pages.kit import drafts, forms, guard, panels
from pages.kit.home import config
from pages.kit.markdown import literal
from pages.kit.panels import panel
from storage.alert_rules import EVERY, warnings
from storage.channels import read_channels

SLOT = "alert_rules"
MESSAGES = ("zone", "address", "ack_links", "ack_hours")
"""Settings of every message."""


def _there() -> list[str]:
    file = read_channels(config().home)
    return sorted(file.entries if file else ())


def _channels(also: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys([EVERY, *_there(), *also]))


@guard.part("What the rules name")
def show_warnings() -> None:
    """Draw what of the saved rules and the time zone has no effect."""
    for said in warnings(drafts.newest().document.alerts, _there()):
        st.warning(literal(said))


@guard.part("The rules")
def show_rules() -> None:
    """Draw every rule in words, and the form of one."""
    show_warnings()
    base = drafts.newest()
    rules = base.document.alerts.rules
    with panel(f"Rules: {len(rules)}", "fold_rules", opened=False) as opened:
        if not opened:
            return
        panels.note(
            "Of the rules that name a channel the most specific decides: kind, then group, then "
            "minimum severity. The watch goes by the newest saved version, engine or not."
        )
        for name, rule in sorted(rules.items()):
            st.markdown(f"**{literal(name)}** · {literal(in_words(rule))}")
        chosen = st.selectbox("Edit", [*sorted(rules), "a new rule"], key="rule_chosen")
        new = chosen not in rules
        name = st.text_input("Its name", key="rule_name") if new else chosen
        _form(str(name).strip(), rules.get(str(chosen)) or AlertRule(), new=new)


def _kind(name: str) -> str:
    return described(name).title


def _channel(name: str) -> str:
    return "every channel" if name == EVERY else name


def in_words(rule: AlertRule) -> str:
    """Return what a rule does, as a sentence."""
    about = ", ".join([*map(_kind, rule.kinds), *rule.groups]) or "every kind"
    where = "no channel" if rule.mute else ", ".join(map(_channel, rule.channels))
    words = [f"{about} from {rule.severity_min} on → {where}"]
    words.append(f"digest each {rule.digest_min} min" if rule.digest_min else "at once")
    if rule.digest_min and not (rule.kinds or rule.groups):
        words[-1] += ", except kinds sent at once"
    if not rule.mute:
        words.append(f"repeats are counted and sent each {rule.again_min} min")
    if rule.quiet:
        words.append(f"quiet {rule.quiet} below {rule.quiet_unless}")
    if rule.escalate_min:
        further = f", then {', '.join(rule.escalate_to)}" if rule.escalate_to else ""
        words.append(f"escalates after {rule.escalate_min} min{further}")
    return " · ".join([*words, *([] if rule.on else ["OFF"])])


@guard.part("The thresholds")
def show_thresholds() -> None:
    """Draw from where on a condition is an alert, and what every message goes by."""
    alerts = drafts.newest().document.alerts
    with panel("Thresholds, time zone and links", "fold_thresholds", opened=False) as opened:
        if not opened:
            return
        with st.form("alert_thresholds", border=True):
            names = tuple(AlertThresholds.model_fields)
            thresholds = forms.form(forms.of_now(alerts.thresholds, names), "threshold")
            diff = forms.form(forms.of_now(alerts, MESSAGES), "messages")
            keep = st.form_submit_button("Save these", type="primary")
        diff |= {"thresholds": thresholds} if thresholds else {}
        if keep and diff:
            drafts.keep_at_once(SLOT, {"alerts": diff})


def _form(name: str, rule: AlertRule, *, new: bool) -> None:
    with st.form(f"rule_form_{name}", border=True):
        one, two = st.columns(2)
        kinds = one.multiselect(
            "Kinds",
            sorted(ALERT_KINDS, key=_kind),
            default=list(rule.kinds),
            format_func=_kind,
        )
        groups = two.multiselect("Groups", list(AlertGroup), default=list(rule.groups))
        severity = one.selectbox(
            "Minimum severity", SEVERITIES, SEVERITIES.index(rule.severity_min)
        )
        channels = two.multiselect(
            "Channels", _channels(rule.channels), list(rule.channels), format_func=_channel
        )
        given: dict[str, object] = {
            "kinds": kinds,
            "groups": groups,
            "severity_min": severity,
            "channels": channels,
            "digest_min": one.number_input(
                "Digest, minutes (0 = at once)", 0, 1440, rule.digest_min
            ),
            "again_min": two.number_input("Again after, minutes", 1, 10080, rule.again_min),
            "quiet": one.text_input("Quiet hours", rule.quiet, placeholder="22:00-07:00"),
            "quiet_unless": two.selectbox(
                "Sent in quiet hours from", SEVERITIES, SEVERITIES.index(rule.quiet_unless)
            ),
            "escalate_min": one.number_input(
                "Escalate after, minutes (0 = never)", 0, 1440, rule.escalate_min
            ),
            "escalate_to": two.multiselect(
                "Then to", _channels(rule.escalate_to)[1:], list(rule.escalate_to)
            ),
            "per_hour_max": one.number_input("Messages per hour", 1, 1000, rule.per_hour_max),
            "mute": two.toggle("Mute", rule.mute),
            "on": two.toggle("On", rule.on),
        }
        keep = st.form_submit_button("Save this rule", type="primary", disabled=new and not name)
        drop = not new and st.form_submit_button("Remove this rule")
    if (keep and name) or drop:
        drafts.keep_at_once(SLOT, {"alerts": {"rules": {name: None if drop else given}}})
