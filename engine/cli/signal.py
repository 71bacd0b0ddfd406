"""`python -m engine signal`: hand outside information to the bots that listen to it."""

from __future__ import annotations

import argparse

from engine.cli.arguments import WAIT_S_MAX, amount, say
from engine.cli.command import leave_and_wait
from engine.config import Config
from engine.domain.commands.signals import Observe
from engine.domain.observed_events import ObservedValue
from engine.errors import BadInput
from engine.runtime.observations import WEBHOOK_PATH
from storage.commands import CommandState
from storage.database import writing

HELP = "outside information for bots: send one; without a word, how to send it"
WAIT_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parsers = parser.add_subparsers(dest="verb", metavar="send | show")
    parsers.add_parser("show", help="where file and webhook are; what is done without a word, too")
    sub = parsers.add_parser("send", help="hand one to every bot that declares its key")
    sub.add_argument("key", metavar="KEY", help="as the bot declares it, for example signal:eth")
    sub.add_argument(
        "value",
        metavar="VALUE",
        nargs="+",
        help="a number, a text, or name=value pairs as side=buy confidence=0.8",
    )
    sub.add_argument("--trust", type=amount(0, 1), default=1.0, help="0 to 1; 1 where not given")
    sub.add_argument("--source", default="", help="who says it; you where not given")
    sub.add_argument("--wait", type=amount(0, WAIT_S_MAX), default=WAIT_S, help="s: for the answer")


def run(args: argparse.Namespace, config: Config) -> int:
    """Send it and say who listens. 0 = it was received."""
    if args.verb != "send":
        _show(args, config)
        return 0
    asked = Observe(key=args.key, value=value_of(args.value), trust=args.trust, source=args.source)
    with writing(config.state_path) as connection:
        left = leave_and_wait(config, connection, asked, args.wait)
    said = left.answer or "the engine has not answered; it may still take it"
    say(args, {"id": left.id, "state": left.state, "answer": left.answer}, said)
    return 0 if left.state is CommandState.DONE else 1


def value_of(words: list[str]) -> ObservedValue:
    """Return a number, a text, or some of them by name. Raises BadInput."""
    if not any("=" in word for word in words):
        return _one(" ".join(words))
    fields: dict[str, float | str] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise BadInput(f"{word!r} is not name=value: give pairs alone, or one number or text")
        fields[name] = _one(text)
    return fields


def _one(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _show(args: argparse.Namespace, config: Config) -> None:
    """Say where the doors are. The token itself is not printed: its file is named."""
    folder, port = config.observed_folder, config.signals_port
    inbox, token = folder / "inbox.jsonl", folder / "token"
    url = f"http://127.0.0.1:{port}{WEBHOOK_PATH}" if port else ""
    line = '{"key": "signal:eth", "value": {"side": "buy", "confidence": 0.8}}'
    lines = [f"file: echo '{line}' >> {inbox}"]
    if port:
        lines.append(f"webhook: curl --oauth2-bearer \"$(cat {token})\" -d '{line}' {url}")
    else:
        lines.append("webhook: none; set PITBOSS_SIGNALS_PORT to a free port and restart")
    lines.append("command: python -m engine signal send signal:eth side=buy confidence=0.8")
    say(args, {"file": str(inbox), "webhook": url, "token": str(token)}, "\n".join(lines))
