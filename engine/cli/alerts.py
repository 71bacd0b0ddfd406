"""`python -m engine alerts`: channels, tests, rules, price alerts, what was raised and sent.

A channel's secret is typed at a prompt or piped in, never an argument: arguments are seen by every
program of the machine and stay in the shell's history. Needs no engine; what changes settings is a
saved version like an edit on the page.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping

import msgspec

from engine.cli.arguments import amount, say, short, who_types, whole
from engine.cli.command import leave_and_wait, leave_lasting
from engine.cli.credentials import ask
from engine.cli.waiting import Patience
from engine.clock import WallClock
from engine.config import Config
from engine.domain.alerts import described
from engine.domain.commands import AckAlert, ApplySettings
from engine.domain.commands.trading import FollowMarket
from engine.domain.instruments import AccountId, InstrumentId
from engine.domain.plain import PlainDict
from engine.domain.settings import AMOUNT_MAX, AlertSettings
from engine.errors import BadInput, ConfigError, StorageError
from engine.locks import held
from engine.log import iso
from engine.watch import sealed
from engine.watch.channels import Channel, channels
from engine.watch.messages import message_of_test
from engine.watch.send import SendOrder, carry_out
from storage import watch
from storage.alert_rules import warnings
from storage.channels import LABEL, PROTECTION, change_channel, put_channel, read_channels
from storage.database import reading, writing
from storage.live import listed
from storage.settings import Stale, latest, save
from storage.users import ENGINE_ID
from storage.watch import RequestKind

HELP = "channels, rules and price alerts; what was raised and what was sent"

TEST_WAIT_S = 75.0
APPLY_WAIT_S = 10.0
POLL_S = 0.2
ROWS = 30

Action = Callable[[argparse.Namespace, Config], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="alerts no person has seen")
    actions.add_parser("log", help="what was sent, what waits, and what was refused why")
    actions.add_parser("channels", help="channels by name; never a secret")
    channel = actions.add_parser("channel", help="add or replace a channel")
    channel.add_argument("name", help="its name in rules")
    channel.add_argument("--kind", required=True, choices=sorted(channels()))
    channel.add_argument("--label", default="", help="what you recognise it by; not secret")
    for name, said in (("on", "turn on"), ("off", "turn off"), ("drop", "remove")):
        one = actions.add_parser(name, help=f"{said} a channel")
        one.add_argument("name")
    test = actions.add_parser("test", help="send a test through a channel and wait for the answer")
    test.add_argument("name")
    seen = actions.add_parser("seen", help="acknowledge an alert by its key, as `list` shows it")
    seen.add_argument("key")
    actions.add_parser("rules", help="the rules and thresholds in force")
    rule = actions.add_parser("rule", help="make or change a rule: field=value, JSON values")
    rule.add_argument("name")
    rule.add_argument("fields", nargs="*", metavar="field=value", help="none = remove the rule")
    _add_price_arguments(actions.add_parser("add", help="tell me of a market's price"))
    remove = actions.add_parser("remove", help="remove a price alert")
    remove.add_argument("name")


def _add_price_arguments(parser: argparse.ArgumentParser) -> None:
    price = amount(0, AMOUNT_MAX)
    parser.add_argument("instrument", help="e.g. polymarket:0x…, as Markets shows it")
    waits_for = parser.add_mutually_exclusive_group(required=True)
    waits_for.add_argument("--above", type=price, help="at or above this price")
    waits_for.add_argument("--below", type=price, help="at or below this price")
    waits_for.add_argument("--moves", type=price, help="moved by so much within --within")
    parser.add_argument("--within", type=whole(1, 1_440), default=60, help="minutes (default: 60)")
    parser.add_argument("--repeats", action="store_true", help="again each time it comes true")
    parser.add_argument("--account", default="", help="whose book; it follows the market then")
    parser.add_argument("--note", default="", help="stands in the message")
    parser.add_argument("--name", default="", help="its name (default: made of the market)")


def run(args: argparse.Namespace, config: Config) -> int:
    """Do one action. Raises BadInput, ConfigError, StorageError."""
    return _ACTIONS[args.action](args, config)


# -- What there is ---------------------------------------------------------------------------------


def _list(args: argparse.Namespace, config: Config) -> int:
    with watch.reading_watch(config.home) as connection:
        found = watch.unseen(connection) if connection else []
    rows = [msgspec.to_builtins(one) for one in found]
    lines = [
        f"{one.severity.upper():8}  {iso(one.last_ns)[:19]}  {described(one.kind).title}: "
        f"{one.text}{f' ({one.count:,} times)' if one.count > 1 else ''}\n{'':10}{one.key}"
        for one in found
    ]
    say(args, rows, "\n".join(lines) or "no alert waits for a person")
    return 0


def _log(args: argparse.Namespace, config: Config) -> int:
    with watch.reading_watch(config.home) as connection:
        rows = watch.deliveries(connection, most=ROWS) if connection else []
    lines = [
        f"{row['id']:6}  {iso(row['created_ns'])[:19]}  {row['channel']:14} {row['reason']:10} "
        f"{row['state']:8} {row['title'] or 'collects until ' + iso(row['due_ns'])[11:19]}"
        f"{': ' + row['error'] if row['error'] else ''}"
        for row in rows
    ]
    say(args, rows, "\n".join(lines) or "nothing was sent yet")
    return 0


def _channels(args: argparse.Namespace, config: Config) -> int:
    file = read_channels(config.home)
    entries = sorted(file.entries.items()) if file else []
    rows = [
        {
            "name": name,
            "kind": one.kind,
            "label": one.label,
            "on": one.on,
            "fingerprint": one.fingerprint,
            "added": iso(one.added_ns),
        }
        for name, one in entries
    ]
    lines = [
        f"{row['name']:16} {row['kind']:18} {'on ' if row['on'] else 'off'}  {row['label']}"
        for row in rows
    ]
    say(args, rows, "\n".join(lines) or "there is no channel: alerts stay on the Alerts page")
    return 0


def _rules(args: argparse.Namespace, config: Config) -> int:
    with reading(config.state_path) as connection:
        alerts = latest(connection, ENGINE_ID).document.alerts
    shown = alerts.model_dump(mode="json")
    with watch.reading_watch(config.home) as log:
        reached = watch.prices_reached(log) if log else {}
    for name, one in shown["prices"].items():
        found = reached.get(name)
        one["came_true"] = found.fired if found and found.asked == one else 0
    shown["warnings"] = _warnings(config, alerts)
    say(args, shown, json.dumps(shown, indent=2))
    return 0


def _warnings(config: Config, alerts: AlertSettings) -> list[str]:
    try:
        file = read_channels(config.home)
    except (BadInput, StorageError) as error:
        return [f"whether its channels exist is not known: {error}"]
    return warnings(alerts, file.entries if file else ())


# -- Channels --------------------------------------------------------------------------------------


def _channel(args: argparse.Namespace, config: Config) -> int:
    kind = channels()[args.kind]
    file = sealed.make_key(config.home)
    label = LABEL.check(args.label or args.name)
    fields = kind.check(_fields(kind))
    now_ns = WallClock().now_ns()
    entry = sealed.seal(file, args.name, fields, kind=kind.name, label=label, now_ns=now_ns)
    put_channel(config.home, args.name, entry, switches=_switches())
    said = f"channel {args.name} is kept, sealed; `engine alerts test {args.name}` tries it"
    say(args, {"done": said, "protection": PROTECTION}, f"{said}\n{PROTECTION}")
    return 0


def _switches() -> set[str]:
    return {name for name, one in channels().items() if one.pings}


def _fields(kind: Channel) -> dict[str, str]:
    """Ask for what a channel needs; one JSON object may be piped in instead."""
    if sys.stdin.isatty():
        return {one.name: ask(f"{one.title}: ", needed=one.needed) for one in kind.fields}
    try:
        given = json.loads(sys.stdin.read())
    except ValueError:
        raise BadInput("pipe in one JSON object with the channel's fields") from None
    if not isinstance(given, dict):
        raise BadInput("pipe in one JSON object with the channel's fields")
    return {str(name): str(value) for name, value in given.items()}


def _switch(args: argparse.Namespace, config: Config) -> int:
    on = {"on": True, "off": False, "drop": None}[args.action]
    change_channel(config.home, args.name, on=on, switches=_switches())
    said = f"channel {args.name} is {'removed' if on is None else args.action}"
    say(args, {"done": said}, said)
    return 0


def _test(args: argparse.Namespace, config: Config) -> int:
    """Have the watch send a test; without one, send it here. 1 = the channel refused."""
    file = read_channels(config.home)
    if file is None or args.name not in file.entries:
        raise BadInput(f"there is no channel {short(args.name)}")
    if held(config.run_folder / watch.LOCK):
        error = _asked_of_the_watch(args.name, config)
    else:
        with reading(config.state_path) as connection:
            address = latest(connection, ENGINE_ID).document.alerts.address
        message = message_of_test("test", address)
        order = SendOrder(home=str(config.home), channel=args.name, message=message)
        error = carry_out(order).error
    said = f"not delivered: {error}" if error else f"channel {args.name} took the test"
    say(args, {"delivered": not error, "error": error}, said)
    return 1 if error else 0


def _asked_of_the_watch(name: str, config: Config) -> str:
    now_ns = WallClock().now_ns()
    request = watch.ask(config.home, RequestKind.TEST, name, who_types(), now_ns)
    for _ in Patience(TEST_WAIT_S).looks(POLL_S):
        with watch.reading_watch(config.home) as connection:
            sent = watch.tested(connection, request) if connection else None
        if sent is not None and sent.state in watch.ENDS:
            return sent.error
    return "the watch has not answered; it may still send it"


def _seen(args: argparse.Namespace, config: Config) -> int:
    with watch.reading_watch(config.home) as connection:
        known = watch.notice(connection, args.key) if connection else None
    if known is None:
        raise BadInput(f"there is no alert {short(args.key)}: `engine alerts list` shows the keys")
    watch.ask(config.home, RequestKind.ACK, args.key, who_types(), WallClock().now_ns())
    said, number = f"{args.key} is acknowledged", watch.alert_number(args.key)
    if number is not None:
        command = AckAlert(alert=number)
        with writing(config.state_path) as connection:
            if held(config.run_folder / "engine.lock"):
                leave_and_wait(config, connection, command, APPLY_WAIT_S)
            else:
                leave_lasting(connection, command)
                said += "; no engine runs: the next one writes it down"
    say(args, {"done": args.key}, said)
    return 0


# -- Rules and price alerts: saved settings --------------------------------------------------------


def _rule(args: argparse.Namespace, config: Config) -> int:
    given: PlainDict = {}
    for field in args.fields:
        name, equals, text = field.partition("=")
        if not equals:
            raise ConfigError(f"{short(field)}: write it as field=value")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        given[name] = value
    _save(args, config, {"rules": {args.name: given or None}})
    return 0


def _add(args: argparse.Namespace, config: Config) -> int:
    _require_possible(args, config)
    made_of = re.sub(r"[^a-z0-9]+", "-", args.instrument.lower().rpartition(":")[2])[:24].strip("-")
    made_of = made_of or "price"
    name = args.name or f"{made_of}-{WallClock().now_ns() // 10**9 % 100_000}"
    price = {
        "instrument": args.instrument,
        "account": args.account,
        "above": args.above,
        "below": args.below,
        "moves": args.moves,
        "within_min": args.within,
        "repeats": args.repeats,
        "note": args.note,
    }
    _save(args, config, {"prices": {name: price}})
    if args.account and held(config.run_folder / "engine.lock"):
        followed = FollowMarket(
            account=AccountId(args.account), instrument=InstrumentId(args.instrument)
        )
        with writing(config.state_path) as connection:
            left = leave_and_wait(config, connection, followed, APPLY_WAIT_S)
        print(left.answer or "the engine has not answered whether it follows the market")
    return 0


def _require_possible(args: argparse.Namespace, config: Config) -> None:
    """Raise BadInput where the market can never have that price, 60 for 60¢ say."""
    try:
        with reading(config.state_path) as connection:
            instrument = listed(connection, ENGINE_ID, args.instrument)
    except BadInput:
        return  # the engine has never had to do with it: the venue's range is not known here
    end = float(instrument.price_decimal(instrument.product.end))
    for price in (args.above, args.below, args.moves):
        if price is not None and price >= end:
            said = f"{price:g} is not a price of {args.instrument}"
            raise BadInput(f"{said}: they end below {end:g}; 60¢ is written 0.60")


def _remove(args: argparse.Namespace, config: Config) -> int:
    with reading(config.state_path) as connection:
        known = latest(connection, ENGINE_ID).document.alerts.prices
    if args.name not in known:
        raise BadInput(f"there is no price alert {short(args.name)}: {', '.join(known) or 'none'}")
    _save(args, config, {"prices": {args.name: None}})
    return 0


def _save(args: argparse.Namespace, config: Config, diff: Mapping[str, object]) -> None:
    """Save a change of the alert settings and have an engine that runs take note of it."""
    with writing(config.state_path) as connection:
        base = latest(connection, ENGINE_ID).version
        saved = save(
            connection,
            engine_id=ENGINE_ID,
            who=who_types(),
            diff={"alerts": diff},
            base_version=base,
            now_ns=WallClock().now_ns(),
        )
        if isinstance(saved, Stale):
            raise BadInput("somebody else saved settings at the same moment: try again")
        if saved.changes and held(config.run_folder / "engine.lock"):
            leave_and_wait(config, connection, ApplySettings(version=saved.version), APPLY_WAIT_S)
    changed = [one.path for one in saved.changes]
    said = f"saved as version {saved.version}: the watch goes by it" if changed else "no change"
    about: list[str] = []
    if "rules" in diff:
        with reading(config.state_path) as connection:
            about = _warnings(config, latest(connection, ENGINE_ID).document.alerts)
    answer = {"version": saved.version, "changed": changed, "warnings": about}
    say(args, answer, "\n".join([said, *(f"but {one}" for one in about)]))


_ACTIONS: Mapping[str, Action] = {
    "list": _list,
    "log": _log,
    "channels": _channels,
    "channel": _channel,
    "on": _switch,
    "off": _switch,
    "drop": _switch,
    "test": _test,
    "seen": _seen,
    "rules": _rules,
    "rule": _rule,
    "add": _add,
    "remove": _remove,
}
