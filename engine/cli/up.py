"""`python -m engine up`: the whole desk in the foreground; what `make run` does.

Migrates, makes the operator on the first start, then becomes supervisord. Ctrl-C stops the engine
first: its orders are cancelled, and the proof of that is printed. `--detach` leaves the desk
running beside the terminal; `engine down` stops it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from engine.cli.arguments import DEMO_PORT, PORT, PORT_MAX, REPOSITORY, whole
from engine.clock import WallClock
from engine.config import LAST_HOME, Config
from engine.errors import ConfigError, StorageError
from engine.live.handover import leave_keeper, make_private, taken_out
from engine.locks import locked
from storage.projection import bring_up_to_date
from storage.supervisor import (
    BY_HAND,
    FAILURES,
    ProgramStatus,
    failures,
    programs,
    ready,
    socket_in,
)
from storage.users import OPERATOR, ensure_operator

HELP = "start the whole desk; Ctrl-C stops it, engine first; --detach leaves it running"

SOCKET_LENGTH_MAX = 100
"""Bytes of a socket's path that every system takes (macOS 104, Linux 108)."""

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What `engine.cli.start_watch` receives once it has been imported."""

PORT_WAIT_S = 10.0
"""How long what a desk that died left on a port may take to notice that it is alone."""

RETRY_S = 0.2
DETACH_S = 120.0
"""How long a detached desk may take until its programs run."""

PORTS_TRIED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=whole(1, PORT_MAX), default=PORT, help="of the dashboard")
    parser.add_argument(
        "--demo-port", type=whole(1, PORT_MAX), default=DEMO_PORT, help="of the demo exchange"
    )
    parser.add_argument(
        "--no-password",
        action="store_true",
        help="print nothing a new operator signs in with, for output that is kept",
    )
    parser.add_argument(
        "--detach", action="store_true", help="start it beside this terminal; `engine down` ends it"
    )


def run(args: argparse.Namespace, config: Config) -> int:
    """Prepare and become supervisord, or start it beside this terminal.

    0 = every program of a detached desk has started, 1 = one has not. Raises ConfigError,
    StorageError.
    """
    home = config.home
    supervisor = socket_in(config.run_folder)
    if len(os.fsencode(supervisor)) > SOCKET_LENGTH_MAX:
        raise ConfigError(f"{supervisor} is too long for a socket: choose a shorter PITBOSS_HOME")
    for folder in (home, config.run_folder, home / "log"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_private(home)
    # From here until this process has become the supervisor, whose socket then tells of it.
    with locked(config.run_folder / "desk.lock", "desk"):
        _refuse_second_desk(supervisor, home)
        _require_port(args.port, "--port")
        _require_port(args.demo_port, "--demo-port")
        _prepare(args, config)
        return _detached(args, home) if args.detach else _exec_supervisor(args, config)


def _prepare(args: argparse.Namespace, config: Config) -> None:
    with suppress(OSError):  # a clone that may not be written starts without a memory
        (REPOSITORY / LAST_HOME).write_text(f"{config.home}\n", encoding="utf-8")
    backup = bring_up_to_date(config.state_path, config.journal_path)
    if backup:
        print(f"The state before the migration is kept in {backup}")
    password = ensure_operator(config.state_path, WallClock().now_ns())
    print(f"Dashboard  http://127.0.0.1:{args.port}")
    if password is not None and args.no_password:
        print("A password for the page: python -m pages.frame.operator --renew")
    elif password is not None:
        print(f"Sign in as {OPERATOR} with the password {password} (shown this once)")
    how = "`engine down` stops" if args.detach else "Ctrl-C stops"
    print(f"State and logs in {config.home}; {how} everything, the engine first")
    print("Starting the programs: it takes some ten seconds")
    sys.stdout.flush()


def _exec_supervisor(args: argparse.Namespace, config: Config) -> NoReturn:
    """Become supervisord; the lock of the start ends with this program.

    What does not start is said beside it, on this terminal.
    """
    command, environment = _supervisor(args, config.home)
    os.chdir(REPOSITORY)
    where = [str(config.home), str(config.state_path)]
    # A Ctrl-C while that one still imports waits for it: it must not end without a word.
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    subprocess.Popen(  # noqa: S603 our own interpreter, our own arguments
        [sys.executable, "-m", "engine.cli.start_watch", *where], env=environment
    )
    signal.pthread_sigmask(signal.SIG_SETMASK, kept)
    os.execve(sys.executable, command, environment)  # noqa: S606 our own interpreter and arguments


def _detached(args: argparse.Namespace, home: Path) -> int:
    """Start supervisord in a session of its own and wait until its programs run."""
    command, environment = _supervisor(args, home)
    with (home / "log" / "up.log").open("ab") as log:
        started = subprocess.Popen(  # noqa: S603 our own interpreter, our own arguments
            command,
            cwd=REPOSITORY,
            env=environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    failed = dict[str, str]()
    for look in range(1, round(DETACH_S / RETRY_S) + 1):
        time.sleep(RETRY_S)
        if started.poll() is not None:
            raise StorageError(f"supervisord has ended: its reason is in {home / 'log' / 'up.log'}")
        needed = dict[str, ProgramStatus]()
        with suppress(*FAILURES):  # it does not answer yet
            needed = programs(socket_in(home / "run"))
        needed.pop(BY_HAND, None)
        failed = failures(needed, home / "log")
        if ready(needed, str(args.port)):
            print(f"The desk is ready after {look * RETRY_S:.0f} s")
            return 0
    print("\n".join(failed.values()) or "not every program runs yet: see page Engine")
    return 1


def _supervisor(args: argparse.Namespace, home: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command of supervisord and its environment."""
    environment = dict(os.environ)
    leave_keeper(home / "run", taken_out(environment))
    environment |= {
        "PITBOSS_HOME": str(home),
        "DESK_HOME": str(home),
        "DESK_LOGS": str(home / "log").replace("%", "%%"),
        "DESK_PYTHON": shlex.quote(sys.executable),
        "DESK_PORT": str(args.port),
        "DESK_DEMO_PORT": str(args.demo_port),
    }
    conf = str(REPOSITORY / "supervisord.conf")
    return [sys.executable, "-m", "engine.cli.supervise", "-n", "-c", conf], environment


def _refuse_second_desk(supervisor: Path, home: Path) -> None:
    """Refuse where a supervisor answers: a newer program must not migrate under a desk that runs.

    Raises StorageError.
    """
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            asked.connect(os.fspath(supervisor))
        except (FileNotFoundError, ConnectionRefusedError):
            return  # none, or what a dead one left
    raise StorageError(f"another desk runs on {home}; stop it first")


def _require_port(port: int, option: str) -> None:
    """Refuse a port that is taken: its address would lead to somebody else's page or exchange.

    Raises ConfigError.
    """
    left_s = PORT_WAIT_S
    while True:
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError as error:
                if left_s <= 0:
                    raise ConfigError(
                        f"port {port} cannot be used ({error}): stop what listens there, or choose "
                        f"another with {option}{_free_after(port, option)}"
                    ) from None
            else:
                return
        if left_s == PORT_WAIT_S:
            print(f"port {port} is taken: waiting {left_s:g} s for its end", flush=True)
        left_s -= RETRY_S
        time.sleep(RETRY_S)


def _free_after(port: int, option: str) -> str:
    """Return which port above it is free, as what to type; empty = none of the next ones is.

    `make` takes no option of ours: there it goes into `ARGS`.
    """
    for other in range(port + 1, min(port + PORTS_TRIED, PORT_MAX) + 1):
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", other))
            return f', e.g. {option} {other} (make run ARGS="{option} {other}")'
    return ""
