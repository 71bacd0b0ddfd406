"""Credentials on the Settings page: whose key the vault holds, never what it is."""

from __future__ import annotations

import streamlit as st

from engine.domain.catalog import CredentialField, mode_of
from engine.domain.commands import OpenVault, RemoveCredential, SetCredential
from engine.domain.instruments import AccountId
from engine.errors import PitbossError
from pages.frame import sealing
from pages.kit import commands, drafts, guard, panels
from pages.kit.data import ask, engine_id, health_of
from pages.kit.home import config, now_ns
from pages.kit.tables import table
from storage.catalog import venues
from storage.live import engine_status
from storage.vault import VaultFile, read_vault
from storage.views.frame import engine_seen

COLUMNS = {
    "account": ("Account", "text"),
    "venue": ("Venue", "text"),
    "wallet": ("Wallet", "text"),
    "fingerprint": ("Key's fingerprint", "text"),
    "added": ("Set", "time"),
}


@guard.part("The list of credentials")
def show() -> None:
    """Draw what the vault holds and the form that sets a key."""
    st.subheader("Credentials")
    try:
        vault = read_vault(config().vault_path)
    except PitbossError as error:
        st.error(f"{error}.")
        return
    accounts, known = drafts.newest().document.accounts, ask(venues, engine_id())
    keyed = {
        name: (one.venue, fields)
        for name, one in accounts.items()
        if (fields := mode_of(known, one.venue, one.mode).credential_fields)
    }
    if vault is None:
        panels.empty(
            "There is no vault yet.",
            "Keys of live accounts are kept in one, encrypted. Make it on the machine itself, "
            "where its passphrase is typed. Demo and paper accounts need no key.",
            ".venv/bin/python -m engine credentials set ACCOUNT --wallet 0x…",
        )
        return
    _held(vault)
    if vault.entries:
        _open()
    if not keyed:
        panels.note("No account of mode live is saved: there is nobody to set a key for.")
        return
    _set(vault, keyed)


def _held(vault: VaultFile) -> None:
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
    table(rows, COLUMNS, key="credentials")
    chosen = st.selectbox("Forget the key of", [row["account"] for row in rows], index=None)
    if chosen and st.button(f"Forget the key of {chosen}", key="forget_key"):
        commands.send(RemoveCredential(account=AccountId(str(chosen))), f"forget:{chosen}")
    if chosen:
        commands.show_life(f"forget:{chosen}")


def _open() -> None:
    """Draw the form that opens the vault of the engine that runs."""
    with st.expander("Open the vault"):
        panels.note(
            "An engine that was started without VAULT_PASSPHRASE has a locked vault, and accounts "
            "whose keys lie in it stand blind. Opening it also brings up an account that was "
            "closed at the start and unlocked since: it is recovered as at a start, and its bots "
            "go on as they stood. The passphrase is sealed in this browser for the start of the "
            "engine that runs: dashboard and database pass on what they cannot read."
        )
        seen = ask(engine_seen)
        status = ask(engine_status, engine_id())
        key = "" if status is None else status.unlock_key
        if not key or not health_of(seen, now_ns()).alive:
            commands.nobody_takes_it()
            return
        sealed = sealing.sealed_passphrase(key)
        if sealed is not None:
            commands.send(OpenVault(sealed=sealed), "open_vault")
        commands.show_life("open_vault")


def _set(vault: VaultFile, keyed: dict[str, tuple[str, tuple[CredentialField, ...]]]) -> None:
    with st.expander("Set a key"):
        account = st.selectbox("Live account", list(keyed), key="key_account")
        venue, fields = keyed[account]
        panels.note(
            "The key is sealed in this browser for the engine's vault; the dashboard passes on "
            "what it cannot read. Use a wallet of its own with no more in it than you can lose."
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
        commands.show_life(f"key:{account}")
