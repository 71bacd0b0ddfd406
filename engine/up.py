"""`python -m engine up`: the whole desk in the foreground; what `make run` does.

Migrates, makes the operator on the first start, then becomes supervisord. Ctrl-C stops the engine
first: its orders are cancelled and that is proven before anything else goes.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from engine.clock import WallClock
from engine.config import Config
from engine.demo import PORT as DEMO_PORT
from engine.errors import ConfigError
from storage.schema import migrate
from storage.users import OPERATOR, ensure_operator

NAME = "up"
HELP = "start the whole desk in the foreground; Ctrl-C stops it, engine first"

PORT = 8501
SOCKET_LENGTH_MAX = 100
"""Bytes of a socket's path that every system takes (macOS 104, Linux 108)."""

REPOSITORY = Path(__file__).resolve().parents[1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the two ports on 127.0.0.1."""
    parser.add_argument("--port", type=int, default=PORT, help="of the dashboard")
    parser.add_argument("--demo-port", type=int, default=DEMO_PORT, help="of the demo exchange")


def run(args: argparse.Namespace, config: Config) -> int:
    """Prepare and become supervisord. Raises ConfigError, StorageError."""
    home = config.home
    socket = config.run_folder / "supervisor.sock"
    if len(os.fsencode(socket)) > SOCKET_LENGTH_MAX:
        raise ConfigError(f"{socket} is too long for a socket: choose a shorter PITBOSS_HOME")
    for folder in (home, config.run_folder, home / "log"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    backup = migrate(config.state_path)
    if backup:
        print(f"The state before the migration is kept in {backup}")
    password = ensure_operator(config.state_path, WallClock().now_ns())
    print(f"Dashboard  http://127.0.0.1:{args.port}")
    if password is not None:
        print(f"Sign in as {OPERATOR} with the password {password} (shown this once)")
    print(f"State and logs in {home}; Ctrl-C stops everything, the engine first")
    sys.stdout.flush()
    environment = {
        **os.environ,
        "PITBOSS_HOME": str(home),
        "DESK_HOME": str(home),
        "DESK_PYTHON": sys.executable,
        "DESK_PORT": str(args.port),
        "DESK_DEMO_PORT": str(args.demo_port),
    }
    command = [sys.executable, "-m", "supervisor.supervisord", "-n"]
    os.chdir(REPOSITORY)
    os.execve(  # noqa: S606 our own interpreter, our own arguments
        sys.executable, [*command, "-c", str(REPOSITORY / "supervisord.conf")], environment
    )
