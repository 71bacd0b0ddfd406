"""Live accounts on the Settings page: what is missing before one trades, and what was found.

The phrase is typed on the machine itself: this page can ask for a look, it can unlock nothing.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple

import streamlit as st

from engine.domain.catalog import CredentialField, Finding, QuoteExpiry, mode_of
from engine.domain.commands import ExamineAccount, OpenVault, RemoveCredential, SetCredential
from engine.domain.instruments import AccountId, Mode
from engine.domain.settings import AccountSettings
from pages.frame import sealing
from pages.kit import commands, drafts, guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.tables import Col, ColKind, columns_of, table
from pages.kit.words import age, moment
from storage.catalog import venues
from storage.live import engine_status
from storage.live_accounts import Examination, Examiner, Unlock, examinations, heartbeats, unlocks
from storage.settings import in_force
from storage.vault import VaultFile, read_vault
from storage.views.frame import engine_seen

# -- Credentials on the Settings page: whose key the vault holds, never what it is -----------------


KEYS = columns_of(
    Col("account"),
    Col("venue"),
    Col("wallet"),
    Col("fingerprint", "Key fingerprint"),
    Col("added", "Set", ColKind.TIME),
)


@guard.part("The list of credentials")
def show_credentials() -> None:
    """Draw what the vault holds and the form that sets a key."""
    st.subheader("Credentials")
    vault = read_vault(config().vault_path)
    accounts, known = drafts.newest().document.accounts, ask(venues, engine_id())
    keyed = {
        name: (one.venue, fields)
        for name, one in accounts.items()
        if (fields := mode_of(known, one.venue, one.mode).credential_fields)
    }
    if vault is None:
        panels.empty(
            "There is no vault yet.",
            "It keeps the keys of live accounts, encrypted. Create it on the machine itself, where "
            "you type its passphrase. Demo and paper accounts need no key.",
            ".venv/bin/python -m engine credentials set ACCOUNT --wallet 0x…",
        )
        return
    _keys(vault)
    if vault.entries:
        _open_vault()
    if not keyed:
        panels.note("No live account is saved: there is no account to set a key for.")
        return
    _set_key(vault, keyed)


def _keys(vault: VaultFile) -> None:
    rows = [
        {
            "account": name,
            "venue": one.venue,
            "wallet": one.wallet,
            "fingerprint": one.fingerprint,
            "added": one.added_ns,
        }
        for name, one in sorted(vault.entries.items())
    ]
    if not rows:
        panels.note("The vault is empty.")
        return
    table(rows, KEYS, key="credentials")
    chosen = st.selectbox("Remove the key of", [row["account"] for row in rows], index=None)
    if chosen and st.button(f"Remove the key of {literal(chosen)}", key="forget_key"):
        commands.send(RemoveCredential(account=AccountId(str(chosen))), f"forget:{chosen}")
    if chosen:
        commands.show_progress(f"forget:{chosen}")


def _open_vault() -> None:
    with panels.panel("Open the vault", "fold_vault") as opened:
        if not opened:
            return
        panels.note(
            "An engine started without VAULT_PASSPHRASE has a locked vault, and accounts whose "
            "keys are in it stay blind. Opening it also opens an account unlocked since the start: "
            "it is recovered as at a start, and its bots continue in their last state. The "
            "passphrase is sealed in this browser for the running engine: dashboard and database "
            "pass it on without being able to read it."
        )
        status = ask(engine_status, engine_id())
        key = "" if status is None else status.unlock_key
        if not key or not commands.engine_runs():
            commands.note_no_engine()
            return
        sealed = sealing.sealed_passphrase(key)
        if sealed is not None:
            commands.send(OpenVault(sealed=sealed), "open_vault")
        commands.show_progress("open_vault")


def _set_key(vault: VaultFile, keyed: dict[str, tuple[str, tuple[CredentialField, ...]]]) -> None:
    with panels.panel("Set a key", "fold_key") as opened:
        if not opened:
            return
        account = st.selectbox("Live account", list(keyed), key="key_account")
        venue, fields = keyed[account]
        panels.note(
            "The key is sealed in this browser for the engine's vault; the dashboard passes it on "
            "unread. Use a separate wallet that holds no more than you can lose."
        )
        sent = sealing.sealed_key(account, venue, fields, vault.public_key)
        if sent is not None:
            commands.send(
                SetCredential(
                    account=AccountId(account),
                    wallet=str(sent["wallet"]),
                    fingerprint=str(sent["fingerprint"]),
                    sealed=str(sent["sealed"]),
                    venue=venue,
                ),
                f"key:{account}",
            )
        commands.show_progress(f"key:{account}")


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
    return (_key(known), _doctor(known), _phrase(known), _selftest(known), _restart(known))


def _key(known: AccountFacts) -> LiveStep:
    command = f"python -m engine credentials set {known.account} --wallet 0x…"
    if known.key_wallet:
        return LiveStep("Key", True, f"the vault holds one for {known.key_wallet}")
    if known.doctor is not None and known.doctor.wallet:
        # A verdict exists only where somebody signed: the key is in the engine's environment.
        said = f"not in the vault; one from the environment was used for {known.doctor.wallet}"
        return LiveStep("Key", True, said)
    return LiveStep("Key", False, "none in the vault: set it here under Credentials, or", command)


def _doctor(known: AccountFacts) -> LiveStep:
    command = f"python -m engine unlock {known.account} --check"
    verdict = known.doctor
    if verdict is None:
        return LiveStep("Doctor", False, "not run yet", command)
    if not _of_this_wallet(known, verdict.wallet):
        return LiveStep(
            "Doctor", False, f"the verdict is for another wallet, {verdict.wallet}", command
        )
    if not verdict.green:
        failed = ", ".join(one.name for one in verdict.failures)
        return LiveStep("Doctor", False, f"to fix: {failed}", command)
    return LiveStep("Doctor", True, "green")


def _phrase(known: AccountFacts) -> LiveStep:
    command = f"python -m engine unlock {known.account}"
    if known.unlock is None:
        said = "the account is locked; type the phrase on the machine, not here"
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
        return LiveStep("Start", False, "no engine is running: start the desk")
    unlocked_ns = None if known.unlock is None else known.unlock.phrase_ns
    if unlocked_ns is not None and (known.beat_ns or 0) > max(started, unlocked_ns):
        return LiveStep("Start", True, "the engine has opened the account and sends heartbeats")
    if unlocked_ns is None or started < unlocked_ns:
        said = (
            "an engine reads keys and unlocks when it starts and when its vault is opened: restart "
            "it after the other steps, or open the vault under Credentials"
        )
        return LiveStep("Start", False, said)
    return LiveStep("Start", True, "the engine was started after the unlock")


def _of_this_wallet(known: AccountFacts, wallet: str) -> bool:
    """Say whether a verdict is of the key in the vault; without one it cannot be compared."""
    return not known.key_wallet or wallet.lower() == known.key_wallet.lower()


WORDS = {"ok": "OK", "warn": "note", "fail": "FIX"}
TONES = {"ok": "pb-ok", "warn": "pb-warn", "fail": "pb-bad"}
ORDER = ("fail", "warn", "ok")
STATES = {"done": "pb-ok", "next": "pb-warn", "later": "pb-dim"}
TITLES = {Examiner.DOCTOR: "Doctor", Examiner.SELFTEST: "Self-test"}


@guard.part("The list of live accounts")
def show_live_accounts() -> None:
    """Draw every account of mode live: its steps, its unlocking, its verdicts."""
    live = [
        name for name, one in drafts.newest().document.accounts.items() if one.mode is Mode.LIVE
    ]
    if not live:
        return
    st.subheader("Live accounts")
    panels.note("LIVE is real money. Verdicts and unlocks are from the state database.")
    seen = ask(engine_seen)
    alive = commands.engine_runs()
    found, open_ = ask(examinations, engine_id()), ask(unlocks, engine_id())
    beats = {one.account: one.beat_ns for one in ask(heartbeats, engine_id())}
    vault = guard.tried("the vault", lambda: read_vault(config().vault_path), None)
    keys = vault.entries if vault else {}  # one that cannot be read says so above
    for name in live:
        verdicts = {one: found.get((name, one)) for one in Examiner}
        known = AccountFacts(
            account=name,
            key_wallet=keys[name].wallet if name in keys else "",
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
    st.markdown(f"**{literal(name)}** · LIVE · {literal(_lock(known.unlock))}")
    if settings is not None:
        entry = mode_of(ask(venues, engine_id()), settings.venue, settings.mode)
        panels.note(quotes_end(settings, entry.expiry))
    st.html(_checklist(steps(known)))
    for examiner, verdict in ((Examiner.DOCTOR, known.doctor), (Examiner.SELFTEST, known.selftest)):
        if verdict is not None:
            with st.expander(
                literal(_title(examiner, verdict)),
                expanded=not verdict.green,
                key=f"fold_{examiner}_{name}",
            ):
                st.html(_findings(verdict.findings))
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            f"Run the doctor on {literal(name)}", key=f"examine_{name}", disabled=not alive
        ):
            commands.send(ExamineAccount(account=AccountId(name)), f"examine:{name}")
        panels.note("It asks the venue; it changes and places nothing.")
    if not alive:
        commands.note_no_engine()
    commands.show_progress(f"examine:{name}")


def _lock(unlock: Unlock | None) -> str:
    if unlock is None:
        return "locked: it does not trade"
    return f"unlocked since {moment(unlock.phrase_ns)} by {unlock.who} for {unlock.wallet}"


def _title(examiner: Examiner, verdict: Examination) -> str:
    said = "green" if verdict.green else f"NOT green, {len(verdict.failures)} to fix"
    return (
        f"{TITLES[examiner]}: {said} · {moment(verdict.at_ns)}, {age(now_ns() - verdict.at_ns)} "
        f"ago, run by {verdict.who}"
    )


def _checklist(made: tuple[LiveStep, ...]) -> str:
    rows = []
    next_one = next((step for step in made if not step.done), None)
    for number, step in enumerate(made, 1):
        state = "done" if step.done else ("next" if step is next_one else "later")
        do = f"<br><code>{escape(step.command)}</code>" if step.command and not step.done else ""
        said = f"{escape(step.said)}{do}"
        rows.append(_line(f"{number}. {step.name}", state, STATES[state], said))
    return f'<table class="pb-facts pb-wrap">{"".join(rows)}</table>'


def _line(name: str, word: str, tone: str, said: str) -> str:
    marked = f'<span class="{tone}"><b>{escape(word)}</b></span>'
    return f"<tr><th>{escape(name)}</th><td>{marked} · {said}</td></tr>"


def _findings(findings: tuple[Finding, ...]) -> str:
    """Return the findings as a table, what must be mended first."""
    rows = []
    for one in sorted(findings, key=lambda one: ORDER.index(one.grade)):
        fix = f"<br>→ {escape(one.fix)}" if one.fix else ""
        rows.append(_line(one.name, WORDS[one.grade], TONES[one.grade], f"{escape(one.said)}{fix}"))
    return f'<table class="pb-facts pb-wrap">{"".join(rows)}</table>'


# -- Quotes that expire by themselves: the second dead man's switch of an account, and its form ----


PROPOSED_S = 300
COVERS = (
    "The first switch is the venue's heartbeat: without one it cancels all orders of the key "
    "within 15 s. The second is an expiry on each quote: if the heartbeat is not armed, or its "
    "rule does not act, a quote that an engine left behind ends by itself. The venue removes it "
    "about {early_s} s early and refuses less than {least_s} s, so at least {life_s_min} s are "
    "required here. The engine renews each quote in time, one by one: cancelled, proven gone, "
    "placed again at the end of the queue. Manual orders are not renewed: they stay good till "
    "cancelled."
)


def quotes_end(account: AccountSettings, expiry: QuoteExpiry | None) -> str:
    """Return how an account's quotes end without an act of ours, in words."""
    life_s, early_s = account.quote_life_s, 0 if expiry is None else expiry.early_s
    if life_s is None:
        return "Second dead man's switch: off, a quote rests until it is cancelled"
    return (
        f"Second dead man's switch: each quote expires after {life_s} s, the venue removes it "
        f"after {life_s - early_s} s; renewed before"
    )


@guard.part("Quote expiry")
def show_quote_life() -> None:
    """Draw the form for the accounts at a venue that takes expiring orders."""
    base = drafts.newest()
    accounts = base.document.accounts
    known = ask(venues, engine_id())
    found = {
        name: expiry
        for name, one in accounts.items()
        if (expiry := mode_of(known, one.venue, one.mode).expiry) is not None
    }
    if not found:
        return
    with st.expander("Automatic quote expiry", key="fold_quote_life"):
        name = str(st.selectbox("Account", list(found), key="quote_life_account"))
        expiry = found[name]
        said = {"early_s": expiry.early_s, "least_s": expiry.least_s}
        panels.note(COVERS.format(**said, life_s_min=expiry.life_s_min))
        before_s = accounts[name].quote_life_s
        with st.form(f"quote_life_{name}", border=False):
            on = st.checkbox("Quotes expire", value=before_s is not None, key=f"expires_{name}")
            # No bounds in the widget: it would turn 10 into 240; it is refused with words.
            life_s = st.number_input(
                "After, s", value=before_s or PROPOSED_S, step=30, key=f"expires_s_{name}"
            )
            sent = st.form_submit_button("Show what changes")
        patch = {"quote_life_s": int(life_s) if on else None}
        if sent and (why := expiry.refusal(patch["quote_life_s"])):
            st.error(f"{literal(why)}.")
        elif sent:
            drafts.draft("quote_life", {"accounts": {name: patch}}, base)
    drafts.review("quote_life")
