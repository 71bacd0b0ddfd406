"""`python -m engine quotes ACCOUNT`: let an account's quotes expire by themselves, or not.

A second dead man's switch beside the venue's heartbeat: what an engine leaves behind ends at its
own time. Tells how it is; `--expire-after` and `--good-till-cancelled` change it: saved as a
version of the settings and put in force by the engine that runs.
"""

from __future__ import annotations

import argparse
from sqlite3 import Connection

from engine.cli.arguments import WAIT_S_MAX, WHOLE_MAX, amount, say, who_types, whole
from engine.cli.command import WAIT_S, leave_and_wait
from engine.clock import WallClock
from engine.config import Config
from engine.domain.commands import ApplySettings
from engine.domain.settings import SettingsDocument
from engine.errors import BadInput, NoEngine
from engine.venues.registry import expiry_refusal
from storage.commands import CommandState
from storage.database import reading, writing
from storage.schema import check_schema
from storage.settings import in_force, save_in_force
from storage.users import ENGINE_ID

HELP = "turn an account's quote expiry, a second dead man's switch, on or off"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("account", help="name of an account")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--expire-after",
        type=whole(0, WHOLE_MAX),
        metavar="SECONDS",
        help="the engine renews each quote before; each venue has its own minimum",
    )
    how.add_argument(
        "--good-till-cancelled", action="store_true", help="quotes rest until they are cancelled"
    )
    parser.add_argument(
        "--wait", type=amount(0, WAIT_S_MAX), default=WAIT_S, help="s: for the engine's answer"
    )


def run(args: argparse.Namespace, config: Config) -> int:
    """Tell or change it. 0 = shown or in force, 1 = saved only, or refused by the engine."""
    check_schema(config.state_path)
    if args.expire_after is None and not args.good_till_cancelled:
        with reading(config.state_path) as connection:
            life_s = _life_s(in_force(connection, ENGINE_ID).document, args.account)
        _say(args, life_s, f"{args.account}: {_words(life_s)}")
        return 0
    new_s: int | None = args.expire_after
    with writing(config.state_path) as connection:
        version = _saved(connection, args.account, new_s)
        try:
            left = leave_and_wait(config, connection, ApplySettings(version=version), args.wait)
        except NoEngine as error:
            done, why = False, str(error)
        else:
            done = left.state is CommandState.DONE
            why = left.answer or f"the engine has not answered within {args.wait:g} s"
    if done:
        _say(args, new_s, f"{args.account}: {_words(new_s)}; version {version} is in force")
        return 0
    _say(args, new_s, f"version {version} is saved and NOT in force: {why}")
    return 1


def _saved(connection: Connection, account: str, life_s: int | None) -> int:
    """Save the version. Raises BadInput, having saved nothing."""

    def changed(document: SettingsDocument) -> dict[str, object]:
        _life_s(document, account)
        if why := expiry_refusal(document.accounts[account], life_s):
            raise BadInput(why)
        return {"accounts": {account: {"quote_life_s": life_s}}}

    who, now_ns = who_types(), WallClock().now_ns()
    return save_in_force(connection, ENGINE_ID, changed, who, now_ns).version


def _life_s(document: SettingsDocument, account: str) -> int | None:
    found = document.accounts.get(account)
    if found is None:
        known = ", ".join(document.accounts) or "none"
        raise BadInput(f"there is no account {account!r}; known: {known}")
    return found.quote_life_s


def _words(life_s: int | None) -> str:
    if life_s is None:
        return "quotes rest until they are cancelled"
    return f"each quote expires after {life_s} s and is renewed before"


def _say(args: argparse.Namespace, life_s: int | None, text: str) -> None:
    say(args, {"account": args.account, "quote_life_s": life_s, "text": text}, text)
