"""`python -m engine switch`: start, stop or restart the engine of a running desk.

The desk's other programs go on. A stop cancels every order and proves that none is left; its
receipt is printed. `--paused` starts with every bot paused that would trade: in the journal, before
the first order.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Error, Fault, ServerProxy

from supervisor.xmlrpc import Faults, SupervisorTransport

from engine.cli.arguments import say
from engine.clock import WallClock
from engine.config import Config
from engine.errors import BadRequest, NoEngine
from storage.commands import STOP_PROOF, Receipt, latest_receipt
from storage.database import reading
from storage.files import write_whole
from storage.users import ENGINE_ID

HELP = "start, stop or restart the engine of a running desk; a stop is proven"

PROGRAM = "engine"
S = 1_000_000_000
AskSupervisor = Callable[..., Any]
"""`supervisor.<method>` with its arguments. Raises Fault, NoEngine."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="start | stop | restart")
    start = verbs.add_parser("start", help="start the engine")
    verbs.add_parser("stop", help="stop the engine; everything is cancelled, and that is proven")
    restart = verbs.add_parser("restart", help="stop it with its proof, then start it")
    for one in (start, restart):
        one.add_argument("--paused", action="store_true", help="pause every bot that would trade")


def run(args: argparse.Namespace, config: Config) -> int:
    """Do it. 0 = done, a stop PROVEN; 1 = stopped and not proven. Raises NoEngine, BadRequest."""
    call = supervisor(config.run_folder / "supervisor.sock")
    code, answer, lines = 0, dict[str, Any](), list[str]()
    if args.verb != "start":
        receipt, took_s, ran = stop(call, config)
        lines.append(stopped_text(receipt, took_s, ran=ran))
        answer |= {"stopped": True, "ran": ran, "proven": bool(receipt and receipt.proven)}
        code = int(ran and not answer["proven"])
    if args.verb != "stop":
        lines.append(start(call, config, paused=args.paused))
        answer |= {"started": True, "paused": args.paused}
    text = "\n".join(lines)
    say(args, answer | {"text": text}, text)
    return code


def start(call: AskSupervisor, config: Config, *, paused: bool) -> str:
    """Start the engine; give what to say. Raises BadRequest where it runs or does not start."""
    info = call("getProcessInfo", PROGRAM)
    if info["statename"] in {"RUNNING", "STARTING"}:
        raise BadRequest(f"the engine runs already, process {info['pid']}", "already_runs")
    if paused:
        write_whole(config.start_paused_path, b"by `engine switch`\n")
    try:
        call("startProcess", PROGRAM, True)
    except Fault as fault:
        why = _last_error(config) or fault.faultString
        raise BadRequest(f"the engine does not start: {why}", "not_started") from None
    with_what = "; every bot that would trade is paused" if paused else ""
    return f"started{with_what}: process {call('getProcessInfo', PROGRAM)['pid']}"


def stop(call: AskSupervisor, config: Config) -> tuple[Receipt | None, float, bool]:
    """Stop the engine; give its receipt, seconds it took, and whether it ran at all.

    The receipt is None where none was kept of this stop.
    """
    began_ns = WallClock().now_ns()
    try:
        call("stopProcess", PROGRAM, True)
    except Fault as fault:
        if fault.faultCode != Faults.NOT_RUNNING:
            raise BadRequest(
                f"the engine is not stopped: {fault.faultString}", "not_stopped"
            ) from None
        return None, 0.0, False
    took_s = (WallClock().now_ns() - began_ns) / S
    with reading(config.state_path) as connection:
        receipt = latest_receipt(connection, ENGINE_ID, STOP_PROOF)
    of_this = receipt is not None and receipt.latched_ns >= began_ns
    return receipt if of_this else None, took_s, True


def stopped_text(receipt: Receipt | None, took_s: float, *, ran: bool) -> str:
    if not ran:
        return "the engine was not running"
    if receipt is None:
        return (
            f"stopped after {took_s:.1f} s, NOT PROVEN: this stop left no receipt; "
            "`engine kill` proves that nothing is open"
        )
    return f"{receipt.sentence()}, {took_s:.1f} s; stopped"


def supervisor(socket: Path) -> AskSupervisor:
    """Return what calls the supervisor of a desk. Raises NoEngine where no desk runs."""
    nobody = f"no desk runs here ({socket} does not answer): start it with `make run`"

    def call(method: str, *given: object) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{socket}")
        try:
            return getattr(ServerProxy("http://127.0.0.1", transport).supervisor, method)(*given)
        except Fault:
            raise
        except (OSError, HTTPException, Error) as error:
            raise NoEngine(nobody) from error
        finally:
            transport.close()

    return call


def _last_error(config: Config) -> str:
    try:
        return (config.run_folder / "last_error").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
