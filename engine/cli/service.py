"""`python -m engine service`: the desk as a systemd service of this machine, on a small VPS.

`install` writes one hardened unit and says each line of it. As root it is the system's, run by the
user of `--user`; else it is a unit of your own, and lingering keeps it after a sign-out.
"""

from __future__ import annotations

import argparse
import getpass
import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from engine.cli.arguments import DEMO_PORT, PORT, PORT_MAX, REPOSITORY, say, whole
from engine.clock import WallClock
from engine.config import Config
from engine.errors import BadRequest, ConfigError, NoEngine
from storage.files import write_whole
from storage.supervisor import RUNNING
from storage.switch import SECOND_NS, EngineSwitch, StopResult

HELP = "install, show, start, stop or remove the desk as a systemd service"

UNIT = "pitboss.service"
SYSTEM_FOLDER = Path("/etc/systemd/system")
HOME_LINE = 'Environment="PITBOSS_HOME='
MEMORY_MAX = "3G"
BOOTED = Path("/run/systemd/system")
"""There where systemd runs the machine (sd_booted(3)): a container may have its files alone."""
STOP_S = 120
"""More than supervisor gives the programs, one after another: the watch is the last of them."""


class UnitPlace(NamedTuple):
    """Where a unit lies and how systemctl is asked about it."""

    file: Path
    systemctl: tuple[str, ...]
    user: str
    """Who runs a unit of the system; empty = a unit of the user's own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(
        dest="verb", required=True, metavar="install | status | start | stop | remove"
    )
    install = verbs.add_parser("install", help="write the unit, enable and start it")
    install.add_argument("--user", default="", help="as root: who runs the desk (never root)")
    install.add_argument("--port", type=whole(1, PORT_MAX), default=PORT, help="of the dashboard")
    install.add_argument(
        "--demo-port", type=whole(1, PORT_MAX), default=DEMO_PORT, help="of the demo exchange"
    )
    install.add_argument(
        "--memory-max", type=_memory, default=MEMORY_MAX, help="systemd's MemoryMax, e.g. 3G"
    )
    install.add_argument(
        "--print", action="store_true", dest="only_print", help="print the unit; change nothing"
    )
    verbs.add_parser("status", help="what systemd says of it")
    verbs.add_parser("start", help="start the desk again after a stop")
    verbs.add_parser("stop", help="stop the desk, its engine first; it starts again at a boot")
    verbs.add_parser("remove", help="stop it and remove the unit; the home stays")


def _memory(text: str) -> str:
    """Return a size as systemd.resource-control(5) takes it. Raises ArgumentTypeError."""
    if re.fullmatch(r"[1-9]\d*[KMGT]?|[1-9]\d?%|100%|infinity", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 3G, 800M, 60% or infinity")
    return text


def run(args: argparse.Namespace, config: Config) -> int:
    """Do one verb. 0 = done, 1 = systemd refused. Raises ConfigError, BadRequest, OSError."""
    if args.verb == "install":
        return _install(args, config)
    place = place_of(os.geteuid())
    if not place.file.is_file():
        raise BadRequest(f"no service is installed: {place.file} is missing", "not_installed")
    _need_systemctl()
    config = config.model_copy(update={"home": Path(_home_of(place))})
    if args.verb == "status":
        return _systemctl(place, "status", "--no-pager", UNIT)
    if args.verb == "start":
        code = _systemctl(place, "start", UNIT)
        say(args, {"started": code == 0}, "systemd refused" if code else "started")
        return code
    if args.verb == "stop":
        code, proof = _stopped(place, config, "stop", UNIT)
        text = f"systemd refused; {proof.sentence()}" if code else proof.sentence()
        say(args, {"stopped": code == 0, "ran": proof.ran, "proven": proof.proven}, text)
        return code or int(proof.ran and not proof.proven)
    _, proof = _stopped(place, config, "disable", "--now", UNIT)
    place.file.unlink()
    code = _systemctl(place, "daemon-reload")
    text = f"{proof.sentence()}; removed {place.file}; {config.home} stays as it is"
    say(args, {"removed": str(place.file), "ran": proof.ran, "proven": proof.proven}, text)
    return code or int(proof.ran and not proof.proven)


def _home_of(place: UnitPlace) -> str:
    """Return the home the installed unit names: that of the command's caller may be another."""
    for line in place.file.read_text().splitlines():
        if line.startswith(HOME_LINE):
            text = line.removeprefix(HOME_LINE).removesuffix('"')
            return text.replace("%%", "%").replace('\\"', '"').replace("\\\\", "\\")
    raise ConfigError(f"{place.file} names no home: install it again")


def _stopped(place: UnitPlace, config: Config, *words: str) -> tuple[int, StopResult]:
    """Have systemd stop the desk; return its answer and what the engine's stop has proved."""
    switch = EngineSwitch(
        run_folder=config.run_folder,
        state_path=config.state_path,
        start_paused_path=config.start_paused_path,
    )
    clock = WallClock()
    began_ns, ran = clock.now_ns(), False
    with suppress(NoEngine):
        ran = switch.status().state == RUNNING
    code = _systemctl(place, *words)
    took_s = (clock.now_ns() - began_ns) / SECOND_NS
    receipt = switch.receipt(began_ns) if ran else None
    return code, StopResult(ran=ran, took_s=took_s, receipt=receipt)


def _install(args: argparse.Namespace, config: Config) -> int:
    place = place_of(os.geteuid(), args.user)
    text = unit(args, config.home, place.user)
    if args.only_print:
        print(text, end="")
        return 0
    _need_systemctl()
    if not config.home.is_dir():
        owner = f" -o {place.user} -g {place.user}" if place.user else ""
        raise BadRequest(
            f"the home {config.home} does not exist: make it with "
            f"`install -d -m 700{owner} {config.home}`, or name another by PITBOSS_HOME",
            "no_home",
        )
    place.file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place.file, text.encode())
    if place.user:
        place.file.chmod(0o644)
    print(f"wrote {place.file}:")
    for line in text.splitlines():
        print(f"  {line}")
    code = _systemctl(place, "daemon-reload") or _systemctl(place, "enable", "--now", UNIT)
    if not place.user and not code:
        print(f"so that it also runs when you are signed out: loginctl enable-linger {_name()}")
    as_user = f"sudo -u {shlex.quote(place.user)} " if place.user else ""
    renew = f"{as_user}env PITBOSS_HOME={shlex.quote(str(config.home))} "
    renew += f"{shlex.quote(sys.executable)} -m pages.frame.operator --renew"
    print(f"the operator's password is in no log; in {REPOSITORY} get one by: {renew}")
    print("systemd refused: see above" if code else "enabled, and started now and at each boot")
    return code


def place_of(uid: int, user: str = "") -> UnitPlace:
    """Return where the unit of a user belongs. Raises ConfigError for a desk run by root."""
    if uid != 0:
        if user and user != _name():
            raise ConfigError(f"--user {user}: only root installs a service for somebody else")
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        return UnitPlace(folder / "systemd" / "user" / UNIT, ("systemctl", "--user"), "")
    return UnitPlace(SYSTEM_FOLDER / UNIT, ("systemctl",), user or "pitboss")


def unit(args: argparse.Namespace, home: Path, user: str) -> str:
    """Return the unit's text. Raises ConfigError where `user` is root or unknown."""
    if user:
        _must_be_able_to_run(user)
    up = f"-m engine up --no-password --port {args.port} --demo-port {args.demo_port}"
    lines = [
        "[Unit]",
        "Description=Pitboss: the trading desk",
        "Wants=network-online.target",
        "After=network-online.target",
        "StartLimitIntervalSec=600",
        "StartLimitBurst=5",
        "",
        "[Service]",
        *([f"User={user}"] if user else []),
        f"WorkingDirectory={_escaped(REPOSITORY)}",
        f'{HOME_LINE}{_escaped(home)}"',
        f'ExecStart="{_escaped(Path(sys.executable))}" {up}',
        "Restart=on-failure",
        "RestartSec=10",
        # Supervisor alone gets the signal: it stops the engine, then the rest when that is proven.
        "KillMode=mixed",
        f"TimeoutStopSec={STOP_S}",
        f"MemoryMax={args.memory_max}",
        "UMask=0077",
        "NoNewPrivileges=yes",
        *HARDENED,
        *(OF_THE_SYSTEM if user else ()),
        f'ReadWritePaths="{_escaped(home)}"',
        "",
        "[Install]",
        f"WantedBy={'multi-user' if user else 'default'}.target",
        "",
    ]
    return "\n".join(lines)


HARDENED = (
    "ProtectSystem=strict",
    "PrivateTmp=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "RestrictSUIDSGID=yes",
    "RestrictRealtime=yes",
    "RestrictNamespaces=yes",
    "LockPersonality=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "SystemCallArchitectures=native",
)
"""What the desk never needs. A unit of the user's own ignores those that need a mount namespace."""

OF_THE_SYSTEM = (
    "CapabilityBoundingSet=",
    "PrivateDevices=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
)
"""What drops capabilities. A user's own manager cannot, and the unit would not start there at all
(status 218/CAPABILITIES, systemd issue 4959); a user's programs have none of them anyway."""


def _must_be_able_to_run(user: str) -> None:
    try:
        known = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(
            f"there is no user {user!r}: make one with `adduser --system --group --home "
            f"/var/lib/pitboss {user}`, or name another with --user"
        ) from None
    if known.pw_uid == 0:
        raise ConfigError("the desk does not run as root: name another user with --user")


def _escaped(path: Path) -> str:
    """Return a path as a unit's quoted word: systemd reads %, backslashes and quotes in it."""
    text = str(path)
    if not text.isprintable():
        raise ConfigError(f"{text!r} cannot stand in a unit: choose a path that can be printed")
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def _name() -> str:
    return getpass.getuser()


def _need_systemctl() -> None:
    if shutil.which("systemctl") is None or not BOOTED.exists():
        raise BadRequest(
            "systemd does not run this machine: use `python -m engine up --detach`, or what starts "
            "programs here",
            "no_systemd",
        )


def _systemctl(place: UnitPlace, *words: str) -> int:
    """Ask systemctl, said beforehand; give 0 or 1."""
    command: Sequence[str] = (*place.systemctl, *words)
    print(" ".join(command), flush=True)
    return int(subprocess.run(command, check=False).returncode != 0)  # noqa: S603 our own words
