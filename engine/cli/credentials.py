"""`python -m engine credentials`: set, list and remove what the vault holds, and open it.

A secret is typed at a prompt or piped in, never an argument: arguments are seen by every program of
the machine and stay in the shell's history.
"""

from __future__ import annotations

import argparse
import base64
import getpass
import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from engine.cli.arguments import say, who_types
from engine.cli.command import WAIT_S, leave_and_wait
from engine.clock import WallClock
from engine.config import Config
from engine.domain.catalog import ANY, CredentialField, Finding
from engine.domain.commands import OpenVault
from engine.errors import BadInput, ConfigError
from engine.live import vault
from engine.live.credentials import from_vault, take, take_passphrase
from engine.live.handover import keep_to_itself
from engine.runtime.credentials import Credential
from engine.venues.registry import credential_spec, plugins
from storage.commands import CommandState
from storage.database import reading, transaction, writing
from storage.live import engine_status
from storage.live_accounts import Examination, Examiner, put_examination
from storage.settings import latest
from storage.users import ENGINE_ID
from storage.vault import VaultFile, read_vault
from storage.views.frame import engine_seen

HELP = "set, list or remove the encrypted keys of live accounts, or open their vault"

ALIVE_NS = 10_000_000_000
"""An engine that was silent for longer does not take the command."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    setting = actions.add_parser("set", help="store a signing key, typed or piped in")
    setting.add_argument("account", help="name of the account it signs for")
    setting.add_argument(
        "--wallet",
        required=True,
        help="the account at the venue: the wallet's address, 0x and 40 hex digits",
    )
    setting.add_argument("--venue", default="", help="its venue, if nothing else names it")
    actions.add_parser("list", help="show accounts, wallets and fingerprints; never a secret")
    removing = actions.add_parser("remove", help="remove an account's credential")
    removing.add_argument("account", help="name of the account")
    actions.add_parser("open", help="have the running engine open the vault with its passphrase")


def run(args: argparse.Namespace, config: Config) -> int:
    if args.action == "list":
        found = listed(read_vault(config.vault_path))
        say(args, found, _described(found))
        return 0
    if args.action == "open":
        return _open(args, config)
    if args.action == "remove":
        vault.remove(config.vault_path, args.account)
        said = f"removed the credential of {args.account!r}; a running engine keeps it till it ends"
    else:
        said = _set(args, config)
    say(args, {"done": said}, said)
    return 0


def listed(found: VaultFile | None) -> list[dict[str, str]]:
    return [
        {
            "account": name,
            "venue": one.venue,
            "wallet": one.wallet,
            "fingerprint": one.fingerprint,
            "added": datetime.fromtimestamp(one.added_ns / 1e9, UTC).isoformat(timespec="seconds"),
        }
        for name, one in sorted((found.entries if found else {}).items())
    ]


def _described(found: list[dict[str, str]]) -> str:
    if not found:
        return "the vault holds no credential"
    return "\n".join(
        f"{one['account']}  {one['venue']}  wallet {one['wallet']}  key {one['fingerprint']}  "
        f"since {one['added']}"
        for one in found
    )


def _open(args: argparse.Namespace, config: Config) -> int:
    """Seal the passphrase for the engine that runs and tell its answer; 1 = it stays closed."""
    with writing(config.state_path) as connection:
        seen = engine_seen(connection)
        status = None if seen is None else engine_status(connection, seen.engine_id)
        key = "" if status is None else status.unlock_key
        if seen is None or not key or WallClock().now_ns() - seen.heartbeat_ns > ALIVE_NS:
            raise BadInput(
                "no engine is running: start one; it asks for the passphrase here, or reads it "
                "from VAULT_PASSPHRASE when it starts"
            )
        sealed = vault.sealed_passphrase(ask("The vault's passphrase: "), base64.b64decode(key))
        left = leave_and_wait(config, connection, OpenVault(sealed=sealed), WAIT_S)
    said = left.answer or "the engine has not answered"
    say(args, {"state": left.state, "answer": said}, said)
    return 0 if left.state is CommandState.DONE else 1


def _set(args: argparse.Namespace, config: Config) -> str:
    """Ask for everything, judge everything, and only then make or change the vault."""
    vault.check_name(args.account)
    venue = _venue(args, config)
    spec = credential_spec(venue)
    if spec is None:
        raise ConfigError(f"no account at {venue!r} needs one: nothing was changed")
    fields = [one for one in spec.credential_fields if one.asked]
    for one in fields:
        if not one.secret:
            one.check(args.wallet)
    found, first = read_vault(config.vault_path), ""
    if found is None:
        first = _new_passphrase(fields)
    secrets = {
        one.name: one.check(ask(f"{one.title}: ", needed=one.needed).strip())
        for one in fields
        if one.secret
    }
    credential = Credential(venue, args.wallet, secrets)
    spec.check(credential)
    found = found or vault.create(config.vault_path, first)
    entry = vault.seal(found, args.account, credential)
    vault.put(config.vault_path, args.account, entry, WallClock().now_ns())
    return (
        f"the vault holds key {entry.fingerprint} for account {args.account!r}; an engine reads it "
        "when it starts, with the vault's passphrase"
    )


def _venue(args: argparse.Namespace, config: Config) -> str:
    """Return at which venue the account is. Raises ConfigError where nothing says it."""
    venues = [name for name in plugins() if credential_spec(name) is not None]
    if args.venue or len(venues) == 1:
        return str(args.venue or venues[0])
    if config.state_path.is_file():
        with reading(config.state_path) as connection:
            account = latest(connection, ENGINE_ID).document.accounts.get(args.account)
        if account is not None:
            return account.venue
    raise ConfigError(f"name the account's venue with --venue: {', '.join(venues)}")


def _new_passphrase(fields: Sequence[CredentialField]) -> str:
    """Return what a new vault shall open with. Raises ConfigError, BadInput."""
    first = ask("A passphrase for the new vault: ")
    vault.check_passphrase(first)
    secrets = [one for one in fields if one.secret and one.pattern != ANY]
    if any(re.fullmatch(one.pattern, first.strip()) for one in secrets):
        raise ConfigError(
            "this is a private key, and there is no vault yet: type the passphrase first, the key "
            "on the next line"
        )
    if sys.stdin.isatty() and ask("The same again: ") != first:
        raise BadInput("the two passphrases differ: nothing was made")
    return first


def ask(prompt: str, *, needed: bool = True) -> str:
    """Return a line that is typed unseen, or piped in. Raises ConfigError where there is none.

    Where it is not needed, none is an empty one.
    """
    try:
        found = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline()
    except EOFError:
        found = ""
    if needed and not found.strip():
        raise ConfigError("nothing was typed: nothing was changed")
    return found.rstrip("\r\n")


# -- What `unlock` and `selftest` share: the key they use, and the verdict they keep ---------------


def credential_of(config: Config, account: str) -> Credential:
    """Return the account's credential; the vault's passphrase is typed where it is not given."""
    file = Path(".env")
    keep_to_itself()
    passphrase = take_passphrase(os.environ, file)
    found = take(os.environ, file)
    sealed = read_vault(config.vault_path)
    if account not in found and sealed is not None and account in sealed.entries:
        found = from_vault(config.vault_path, passphrase or ask("The vault's passphrase: "))
    if account not in found:
        raise ConfigError(
            f"there is no credential of {account!r}: `python -m engine credentials set {account}`"
        )
    return found[account]


def keep_verdict(
    config: Config, examiner: Examiner, account: str, wallet: str, findings: Sequence[Finding]
) -> int:
    """Keep a verdict, whatever it is, and return its time: the Settings page shows the latest."""
    now_ns = WallClock().now_ns()
    verdict = Examination(
        account=account,
        examiner=examiner,
        wallet=wallet,
        at_ns=now_ns,
        who=who_types(),
        findings=tuple(findings),
    )
    with writing(config.state_path) as connection, transaction(connection):
        put_examination(connection, ENGINE_ID, verdict)
    return now_ns
