"""`python -m engine up`: the whole desk in the foreground; what `make run` does.

Migrates, makes the operator on the first start, then becomes supervisord. Ctrl-C stops the engine
first: its orders are cancelled and that is proven before anything else goes.
"""

from __future__ import annotations

import argparse
import os
import shlex
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from engine.cli.arguments import DEMO_PORT, PORT_MAX, whole
from engine.clock import WallClock
from engine.config import LAST_HOME, Config
from engine.errors import ConfigError, StorageError
from engine.live.handover import leave_keeper, make_private, taken_out
from engine.locks import locked
from storage.projection import bring_up_to_date
from storage.supervisor import socket_in
from storage.users import OPERATOR, ensure_operator

HELP = "start the whole desk in the foreground; Ctrl-C stops it, engine first"

PORT = 8501
SOCKET_LENGTH_MAX = 100
"""Bytes of a socket's path that every system takes (macOS 104, Linux 108)."""

PORT_WAIT_S = 10.0
"""How long what a desk that died left on a port may take to notice that it is alone."""

RETRY_S = 0.2

REPOSITORY = Path(__file__).resolve().parents[2]


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


def run(args: argparse.Namespace, config: Config) -> int:
    """Prepare and become supervisord. Raises ConfigError, StorageError."""
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
        _exec_supervisor(args, home)


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
    print(f"State and logs in {config.home}; Ctrl-C stops everything, the engine first")
    sys.stdout.flush()


def _exec_supervisor(args: argparse.Namespace, home: Path) -> NoReturn:
    """Become supervisord; the lock of the start ends with this program.

    What does not start is said beside it, on this terminal.
    """
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
    command = [sys.executable, "-m", "supervisor.supervisord", "-n"]
    os.chdir(REPOSITORY)
    subprocess.Popen(  # noqa: S603 our own interpreter, our own arguments
        [sys.executable, "-m", "engine.cli.start_watch", str(home)], env=environment
    )
    os.execve(  # noqa: S606 our own interpreter, our own arguments
        sys.executable, [*command, "-c", str(REPOSITORY / "supervisord.conf")], environment
    )


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
                        f"another with {option}"
                    ) from None
            else:
                return
        if left_s == PORT_WAIT_S:
            print(f"port {port} is taken: waiting {left_s:g} s for its end", flush=True)
        left_s -= RETRY_S
        time.sleep(RETRY_S)
