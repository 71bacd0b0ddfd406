"""`python -m engine unlock ACCOUNT`: examine a live account at its venue, then let it trade.

The doctor must be green and the phrase typed, in one go and for one wallet; an engine reads both at
its start. `--check` only examines, `--lock` takes the permission back. It signs no order.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import msgspec

from engine.cli.arguments import findings_text, say, who_types
from engine.cli.credentials import ask, credential_of, keep_verdict
from engine.clock import WallClock
from engine.config import Config
from engine.domain.catalog import Grade
from engine.domain.instruments import Mode
from engine.errors import BadInput
from engine.venues.registry import examined
from storage.database import reading, transaction, writing
from storage.live_accounts import Examiner, Unlock, funded_wallet, identities, lock, unlock, unlocks
from storage.schema import check_schema
from storage.settings import latest
from storage.users import ENGINE_ID

HELP = "examine a live account at its venue and unlock it by a typed phrase"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("account", help="name of an account of mode live")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="only examine; nothing is unlocked")
    how.add_argument("--lock", action="store_true", help="lock the account again")


def run(args: argparse.Namespace, config: Config) -> int:
    """Examine, tell, ask for the phrase, keep. Gives 1 where the doctor is not green."""
    check_schema(config.state_path)
    if args.lock:
        with writing(config.state_path) as connection, transaction(connection):
            if args.account not in unlocks(connection, ENGINE_ID):
                raise BadInput(
                    f"no account {args.account!r} is unlocked, nothing was changed; unlocked: "
                    f"{', '.join(unlocks(connection, ENGINE_ID)) or 'none'}"
                )
            lock(connection, ENGINE_ID, args.account, who=who_types(), now_ns=WallClock().now_ns())
        say(args, {"locked": args.account}, f"{args.account} is locked at the next start")
        return 0
    known = _order_identities(config, args.account)
    credentials = credential_of(config, args.account)
    _require_same_wallet(config, args.account, credentials.wallet)
    findings = asyncio.run(examined(config, credentials, known))
    checked_ns = keep_verdict(config, Examiner.DOCTOR, args.account, credentials.wallet, findings)
    answer = {"account": args.account, "findings": msgspec.to_builtins(findings)}
    red = any(one.grade is Grade.FAIL for one in findings)
    if args.check or red:
        stays = f"\n{_lock_state(config, args.account)}" if red else ""
        say(args, answer, findings_text(findings) + stays)
        return int(red)
    print(findings_text(findings), file=sys.stderr)
    phrase = phrase_of(args.account)
    if ask(f"Type `{phrase}`: ") != phrase:
        raise BadInput(f"this is not the required phrase: {_lock_state(config, args.account)}")
    given = Unlock(
        account=args.account,
        wallet=credentials.wallet,
        doctor_ns=checked_ns,
        phrase_ns=WallClock().now_ns(),
        who=who_types(),
    )
    with writing(config.state_path) as connection, transaction(connection):
        unlock(connection, ENGINE_ID, given)
    say(args, answer | {"unlocked": True}, _next_step(args.account))
    return 0


def phrase_of(account: str) -> str:
    return f"trade real money with {account}"


def _order_identities(config: Config, account: str) -> frozenset[str]:
    """Return the identities of the account's orders; it must be one of mode live."""
    with reading(config.state_path) as connection:
        one = latest(connection, ENGINE_ID).document.accounts.get(account)
        if one is None or one.mode is not Mode.LIVE:
            raise BadInput(
                f"{account!r} is not a live account: add it under Settings, save it, then unlock it"
            )
        return identities(connection, ENGINE_ID, account)


def _lock_state(config: Config, account: str) -> str:
    with reading(config.state_path) as connection:
        if account not in unlocks(connection, ENGINE_ID):
            return f"{account} stays locked"
    return (
        f"{account} stays UNLOCKED, as it was before: `python -m engine unlock {account} --lock` "
        "locks it again at the engine's next start"
    )


def _require_same_wallet(config: Config, account: str, wallet: str) -> None:
    """Refuse an account whose past is another wallet's: cash and shares do not move with a key."""
    with reading(config.state_path) as connection:
        first = funded_wallet(connection, ENGINE_ID, account)
    if first not in (None, wallet.lower()):
        raise BadInput(
            f"account {account!r} has a history with the wallet {first}, and its cash and shares "
            f"are not those of {wallet}: add a live account of another name for this wallet"
        )


def _next_step(account: str) -> str:
    return (
        f"{account} is unlocked: restart the engine (page Engine), or open the vault of the one "
        "that runs (`python -m engine credentials open`)"
    )
