"""Live accounts on the Settings page: what is missing before one trades, and what was found.

The phrase is typed on the machine itself: this page can ask for a look, it can unlock nothing.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple

import streamlit as st

from engine.domain.catalog import Finding
from engine.domain.commands import ExamineAccount
from engine.domain.instruments import AccountId, Mode
from engine.domain.settings import AccountSettings
from engine.errors import PitbossError
from pages.kit import commands, drafts, guard, panels
from pages.kit.data import ask, engine_id, health_of
from pages.kit.home import config, now_ns
from pages.kit.words import age, moment
from pages.settings import quote_life
from storage.examinations import Examination, Examiner, examinations
from storage.live_accounts import Unlock, heartbeats, unlocks
from storage.settings import in_force
from storage.vault import read_vault
from storage.views.frame import engine_seen

# The way of a live account to its first order, as steps: which are done, and what is next. Pure.
# A step counts as done only where something stored proves it, for the wallet that signs now.


class AccountFacts(NamedTuple):
    """What is stored of one account."""

    account: str
    key_wallet: str
    """The wallet of the key in the vault; empty = the vault holds none."""
    doctor: Examination | None
    selftest: Examination | None
    unlock: Unlock | None
    engine_started_ns: int | None
    """When the engine that runs now was started; None = none runs."""
    beat_ns: int | None = None
    """When the account's last heartbeat was sent to its venue; None = never."""


class LiveStep(NamedTuple):
    """One step. `command` is what is typed on the machine, empty where nothing is."""

    name: str
    done: bool
    said: str
    command: str = ""


def steps(known: AccountFacts) -> tuple[LiveStep, ...]:
    """Return all steps in their order."""
    return (_key(known), _doctor(known), _phrase(known), _selftest(known), _restart(known))


def _key(known: AccountFacts) -> LiveStep:
    command = f"python -m engine credentials set {known.account} --wallet 0x…"
    if known.key_wallet:
        return LiveStep("Key", True, f"the vault holds one for {known.key_wallet}")
    if known.doctor is not None and known.doctor.wallet:
        # A verdict exists only where somebody signed: the key is in the engine's environment.
        said = f"not in the vault; one from the environment was used for {known.doctor.wallet}"
        return LiveStep("Key", True, said)
    return LiveStep(
        "Key", False, "the vault holds none: set it here under Credentials, or", command
    )


def _doctor(known: AccountFacts) -> LiveStep:
    command = f"python -m engine unlock {known.account} --check"
    verdict = known.doctor
    if verdict is None:
        return LiveStep("Doctor", False, "nobody has looked yet", command)
    if not _of_this_wallet(known, verdict.wallet):
        return LiveStep(
            "Doctor", False, f"the verdict is of another wallet, {verdict.wallet}", command
        )
    if not verdict.green:
        failed = ", ".join(one.name for one in verdict.failures)
        return LiveStep("Doctor", False, f"to mend: {failed}", command)
    return LiveStep("Doctor", True, "green")


def _phrase(known: AccountFacts) -> LiveStep:
    command = f"python -m engine unlock {known.account}"
    if known.unlock is None:
        said = "the account is locked; the phrase is typed on the machine, not here"
        return LiveStep("Phrase", False, said, command)
    if not _of_this_wallet(known, known.unlock.wallet):
        said = f"it was unlocked for another wallet, {known.unlock.wallet}"
        return LiveStep("Phrase", False, said, command)
    return LiveStep("Phrase", True, "unlocked")


def _selftest(known: AccountFacts) -> LiveStep:
    command = f"python -m engine selftest {known.account} --live"
    verdict = known.selftest
    if verdict is None or not _of_this_wallet(known, verdict.wallet):
        said = "one small real order, cancelled at once; stop the engine first"
        return LiveStep("Self-test", False, said, command)
    if not verdict.green:
        failed = ", ".join(one.name for one in verdict.failures)
        return LiveStep("Self-test", False, f"it failed at: {failed}", command)
    return LiveStep("Self-test", True, "green")


def _restart(known: AccountFacts) -> LiveStep:
    started = known.engine_started_ns
    if started is None:
        return LiveStep("Start", False, "no engine runs: start the desk")
    unlocked_ns = None if known.unlock is None else known.unlock.phrase_ns
    if unlocked_ns is not None and (known.beat_ns or 0) > max(started, unlocked_ns):
        return LiveStep("Start", True, "the engine has opened the account: it beats at its venue")
    if unlocked_ns is None or started < unlocked_ns:
        said = (
            "an engine reads keys and unlockings at its start, and when its vault is opened: "
            "restart it after the others, or open the vault under Credentials"
        )
        return LiveStep("Start", False, said)
    return LiveStep("Start", True, "the engine was started after the unlocking")


def _of_this_wallet(known: AccountFacts, wallet: str) -> bool:
    """Say whether a verdict is of the key in the vault; without one it cannot be compared."""
    return not known.key_wallet or wallet.lower() == known.key_wallet.lower()


# -- Live accounts on the Settings page: what is missing before one trades, and what was found -----

WORDS = {"ok": "well", "warn": "mind", "fail": "MEND"}
TONES = {"ok": "pb-ok", "warn": "pb-warn", "fail": "pb-bad"}
ORDER = ("fail", "warn", "ok")
STATES = {"done": "pb-ok", "next": "pb-warn", "later": "pb-dim"}
TITLES = {Examiner.DOCTOR: "Doctor", Examiner.SELFTEST: "Self-test"}


@guard.part("The list of live accounts")
def show() -> None:
    """Draw every account of mode live: its steps, its unlocking, its verdicts."""
    live = [
        name for name, one in drafts.newest().document.accounts.items() if one.mode is Mode.LIVE
    ]
    if not live:
        return
    st.subheader("Live accounts")
    panels.note("LIVE is real money. Verdicts and unlockings from the state database.")
    seen = ask(engine_seen)
    alive = health_of(seen, now_ns()).alive
    found, open_ = ask(examinations, engine_id()), ask(unlocks, engine_id())
    beats = {one.account: one.beat_ns for one in ask(heartbeats, engine_id())}
    wallets, trouble = _wallets()
    if trouble:
        st.error(f"The vault cannot be read: {trouble}.")
    for name in live:
        verdicts = {one: found.get((name, one)) for one in Examiner}
        known = AccountFacts(
            account=name,
            key_wallet=wallets.get(name, ""),
            doctor=verdicts[Examiner.DOCTOR],
            selftest=verdicts[Examiner.SELFTEST],
            unlock=open_.get(name),
            engine_started_ns=seen.started_ns if seen is not None and alive else None,
            beat_ns=beats.get(name),
        )
        with st.container(border=True):
            _account(known, ask(in_force, engine_id()).document.accounts.get(name), alive=alive)


def _account(known: AccountFacts, settings: AccountSettings | None, *, alive: bool) -> None:
    name = known.account
    st.markdown(f"**{name}** · LIVE · {_lock(known.unlock)}")
    if settings is not None:
        panels.note(quote_life.told(settings))
    st.html(_checklist(steps(known)))
    for examiner, verdict in (
        (Examiner.DOCTOR, known.doctor),
        (Examiner.SELFTEST, known.selftest),
    ):
        if verdict is not None:
            with st.expander(_title(examiner, verdict), expanded=not verdict.green):
                st.html(_findings(verdict.findings))
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(f"Let the doctor look at {name}", key=f"examine_{name}", disabled=not alive):
            commands.send(ExamineAccount(account=AccountId(name)), f"examine:{name}")
        panels.note("It asks the venue, changes nothing and places nothing.")
    if not alive:
        commands.nobody_takes_it()
    commands.show_life(f"examine:{name}")


def _lock(unlock: Unlock | None) -> str:
    if unlock is None:
        return "locked: it trades nothing"
    return f"unlocked since {moment(unlock.phrase_ns)} by {unlock.who} for {unlock.wallet}"


def _title(examiner: Examiner, verdict: Examination) -> str:
    said = "green" if verdict.green else f"NOT green, {len(verdict.failures)} to mend"
    return (
        f"{TITLES[examiner]}: {said} · {moment(verdict.at_ns)}, {age(now_ns() - verdict.at_ns)} "
        f"ago, asked by {verdict.who}"
    )


def _checklist(made: tuple[LiveStep, ...]) -> str:
    rows = []
    next_one = next((step for step in made if not step.done), None)
    for number, step in enumerate(made, 1):
        state = "done" if step.done else ("next" if step is next_one else "later")
        do = f"<br><code>{escape(step.command)}</code>" if step.command and not step.done else ""
        rows.append(
            f"<tr><th>{number}. {escape(step.name)}</th><td><span "
            f'class="{STATES[state]}"><b>{state}</b></span> · {escape(step.said)}{do}</td></tr>'
        )
    return f'<table class="pb-facts pb-wrap">{"".join(rows)}</table>'


def _findings(findings: tuple[Finding, ...]) -> str:
    """Return the findings as a table, what must be mended first."""
    rows = []
    for one in sorted(findings, key=lambda one: ORDER.index(one.grade)):
        fix = f"<br>→ {escape(one.fix)}" if one.fix else ""
        word = WORDS[one.grade]
        rows.append(
            f"<tr><th>{escape(one.name)}</th>"
            f'<td><span class="{TONES[one.grade]}"><b>{escape(word)}</b></span> · '
            f"{escape(one.said)}{fix}</td></tr>"
        )
    return f'<table class="pb-facts pb-wrap">{"".join(rows)}</table>'


def _wallets() -> tuple[dict[str, str], str]:
    """Return whose key the vault holds, by account, or why it cannot be read."""
    try:
        vault = read_vault(config().vault_path)
    except PitbossError as error:
        return {}, str(error)
    return ({name: one.wallet for name, one in vault.entries.items()} if vault else {}), ""
