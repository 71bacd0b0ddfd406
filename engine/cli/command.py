"""`python -m engine command`: leave a command for the engine, and wait for its answer.

With `--wait` a job is waited for until it has ended: its result is said, or why it failed.

A person types prices and sizes as a venue writes them; the command carries the instrument's own
increments.
"""

from __future__ import annotations

import argparse
import re
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from sqlite3 import Connection
from typing import get_args

import msgspec

from engine.cli.arguments import WAIT_S_MAX, amount, say, who_types
from engine.cli.waiting import Patience
from engine.clock import WallClock
from engine.config import Config
from engine.domain.commands import AnyCommand, PlaceManual, StartRecording
from engine.domain.commands.trading import Flatten
from engine.domain.commands.wallet import AdoptTokens, Merge, Split
from engine.domain.instruments import Instrument
from engine.domain.money import MICRO
from engine.domain.plain import PlainDict
from engine.errors import BadInput, NoEngine
from engine.locks import held
from storage.commands import ENDS, CommandState, LeftCommand, find, leave
from storage.database import writing
from storage.jobs import JOB_ENDS, Job, JobState, number_in
from storage.jobs import find as find_job
from storage.live import listed
from storage.users import ENGINE_ID
from storage.views.frame import engine_seen

HELP = "queue a command for the engine and wait for its answer; with --wait for its job's end, too"

WAIT_S = 30.0
POLL_S = 0.02
JOB_POLL_S = 0.2
NOTICE_AFTER_S = 1.0
"""A wait is felt from here on."""
STARTS_S = 1.0
"""What an engine that is started again may take to hold its lock."""
UNITS = {
    "price": Instrument.price_of,
    "size": Instrument.size_of,
    "slippage_max": Instrument.price_of,
}
"""Fields a person writes as the venue does, and the engine counts in increments."""
Catalog = Callable[[str], Instrument]
"""The instrument of a name. Raises BadInput where it was never listed."""


def kinds() -> dict[str, type[msgspec.Struct]]:
    """Return every command by its name on the command line: StartBot → start-bot."""
    return {
        re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower(): kind
        for kind in get_args(AnyCommand)
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=sorted(kinds()), metavar="KIND", help=", ".join(kinds()))
    parser.add_argument("fields", nargs="*", metavar="field=value", help="e.g. bot=demo-updown")
    parser.add_argument(
        "--wait",
        type=amount(0, WAIT_S_MAX),
        help=f"s: for the answer, and where it is given, for the end of a job (default: {WAIT_S:g} "
        "for the answer alone)",
    )


def run(args: argparse.Namespace, config: Config) -> int:
    """Leave it, wait, print the answer, and the end of a job that was waited for.

    0 = done, 1 = refused, failed, not answered or not ended in time.
    """
    wait_s = WAIT_S if args.wait is None else args.wait
    patience, job = Patience(wait_s), None
    with writing(config.state_path) as connection:
        command = _command(args.kind, args.fields, lambda key: listed(connection, ENGINE_ID, key))
        left = leave_and_wait(config, connection, command, wait_s)  # type: ignore[arg-type]
        if args.wait is not None and (number := number_in(left.answer)) is not None:
            job = _job_waited_for(connection, number, patience)
    took = f" after {(left.answered_ns - left.created_ns) / 1e6:.0f} ms" if left.answered_ns else ""
    said = left.answer or "the engine has not answered; it may still do it"
    answer: dict[str, object] = {"id": left.id, "state": left.state, "answer": left.answer}
    text = f"{left.state}{took}: {said}"
    if job is not None:
        answer["job"] = {"id": job.id, "state": job.state, "result": job.result, "error": job.error}
        text += f"\n{_said_of_job(job)}"
    say(args, answer, text)
    done = left.state is CommandState.DONE and (job is None or job.state is JobState.DONE)
    return 0 if done else 1


def _job_waited_for(connection: Connection, number: int, patience: Patience) -> Job | None:
    """Return a job at its end, or where it stands when the patience is over."""
    print(f"job {number} is queued: waiting for its end", file=sys.stderr, flush=True)
    job = None
    for _ in patience.looks(JOB_POLL_S):
        job = find_job(connection, ENGINE_ID, number)
        if job is None or job.state in JOB_ENDS:
            break
    return job


def _said_of_job(job: Job) -> str:
    if job.state not in JOB_ENDS:
        return f"job {job.id} is {job.state}, and goes on: see page Jobs"
    return f"job {job.id} {job.state}: {job.error or job.result or 'nothing to report'}"


def leave_and_wait(
    config: Config, connection: Connection, command: AnyCommand, wait_s: float
) -> LeftCommand:
    """Leave a command and wait for its end; gives where it stands when the wait is over.

    Says what it waits for as soon as it is felt. Raises NoEngine, having left nothing.
    """
    must_run(config)
    left = leave_lasting(connection, command)
    noticed = False
    for waited_s in Patience(wait_s).looks(POLL_S):
        left = find(connection, ENGINE_ID, left.id) or left
        if left.state in ENDS:
            break
        if NOTICE_AFTER_S < waited_s < wait_s and not noticed:
            noticed = True
            print(_waiting(connection, left, wait_s), file=sys.stderr, flush=True)
    return left


def leave_lasting(connection: Connection, command: AnyCommand) -> LeftCommand:
    """Leave a command without waiting; one of `storage.commands.LASTING` needs no engine yet."""
    return leave(
        connection,
        engine_id=ENGINE_ID,
        id=uuid.uuid4().hex,
        command=command,
        who=who_types(),
        now_ns=WallClock().now_ns(),
    )


def must_run(config: Config) -> None:
    """Raise NoEngine unless an engine runs here, or one does within a moment."""
    for _ in Patience(STARTS_S).looks(POLL_S):
        if held(config.run_folder / "engine.lock"):
            return
    raise NoEngine(f"no engine is running on {config.home}, and nothing was queued: start one")


def _waiting(connection: Connection, left: LeftCommand, wait_s: float) -> str:
    seen = engine_seen(connection)
    silent_s = 0.0 if seen is None else (WallClock().now_ns() - seen.heartbeat_ns) / 1e9
    received = (
        "has not reported yet"
        if seen is None
        else f"is {seen.state}, received {silent_s:.1f} s ago"
    )
    return (
        f"{type(left.command).__name__} is {left.state}: the engine {received}; "
        f"waiting for its answer, {wait_s:g} s at most"
    )


def _command(kind: str, fields: list[str], catalog: Catalog) -> msgspec.Struct:
    """Return the command a person typed. Raises BadInput naming the field."""
    given: PlainDict = {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals:
            raise BadInput(f"{field!r} is not field=value")
        given[name] = value
    made = kinds()[kind]
    unknown = sorted(set(given) - set(made.__struct_fields__))
    if unknown:
        known = ", ".join(made.__struct_fields__) or "none"
        raise BadInput(f"{kind} has no field {unknown[0]!r}; known: {known}")
    if made is StartRecording and "instruments" in given:
        given["instruments"] = [one for one in re.split(r"[\s,]+", given["instruments"]) if one]
    if made is AdoptTokens and "cost" in given:
        given["cost"] = _micro(given["cost"])
    typed = [
        name for name in UNITS if made in (PlaceManual, Flatten, Merge, Split) and name in given
    ]
    if typed and "instrument" in given:
        instrument = catalog(given["instrument"])
        for name in typed:
            given[name] = UNITS[name](instrument, given[name])
    try:
        return msgspec.convert({"type": made.__name__, **given}, made, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(f"{kind}: {error}") from None


def _micro(text: str) -> int:
    """Return an amount of money in micro-units. Raises BadInput."""
    try:
        micro = Decimal(text) * MICRO
    except InvalidOperation:
        micro = Decimal("NaN")
    if not micro.is_finite() or micro != int(micro):
        raise BadInput(f"{text!r} is not an amount with at most six decimals")
    return int(micro)
