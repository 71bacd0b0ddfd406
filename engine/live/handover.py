"""Secrets given in the environment: out of it at once, and handed to the engine alone.

What a process was started with stays readable in `/proc/PID/environ` for as long as it lives, so a
program that was given secrets starts itself anew without them and reads them from a pipe. `up`
leaves a keeper beside the supervisor: it holds them in memory and gives them, at each start, to
the supervisor's engine alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path

from engine.errors import ConfigError, os_sentence
from engine.venues.registry import secret_names

PASSPHRASE = "VAULT_PASSPHRASE"  # noqa: S105 the name of the key
PIPE = "DESK_SECRETS_FD"
SOCKET = "secrets.sock"
SUPERVISED = "SUPERVISOR_ENABLED"
BYTES_MAX = 32 * 1024
"""Less than any system's pipe holds without a reader."""
FILES_MAX = 1_024
LOOK_S = 0.5
ANSWER_S = 2.0
PR_SET_DUMPABLE = 4
ASKERS = (b"run", b"kill")
"""The programs that sign."""


def taken_out(environment: MutableMapping[str, str]) -> dict[str, str]:
    return {
        name: environment.pop(name) for name in (*secret_names(), PASSPHRASE) if name in environment
    }


def start_clean(words: Sequence[str], module: str = "engine") -> None:
    """Start this program anew where its environment holds secrets; they come back by a pipe.

    It is `python -m module words`. Afterwards the secrets stand in `os.environ` as before, and in
    no `environ` of the system.
    """
    given = os.environ.pop(PIPE, "")
    if given:
        keep_to_itself()
        with os.fdopen(int(given), "rb") as pipe:
            os.environ.update(json.loads(pipe.read()))
        return
    clean = dict(os.environ)
    found = taken_out(clean)
    if not any(found.values()):
        return
    data = json.dumps(found).encode()
    if len(data) > BYTES_MAX:
        sys.exit(f"the secrets in the environment are longer than {BYTES_MAX} bytes")
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    os.set_inheritable(reader, True)
    command = [sys.executable, "-m", module, *words]
    os.execve(sys.executable, command, {**clean, PIPE: str(reader)})  # noqa: S606 ourselves again


def keep_to_itself() -> None:
    """Keep this process's memory from readers and from the disk: it holds secrets.

    Elsewhere than on Linux only the second.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def leave_keeper(folder: Path, secrets: Mapping[str, str]) -> None:
    """Fork a keeper that lives as long as this process, whatever that becomes. Raises ConfigError.

    Takes away what an earlier one left.
    """
    path = folder / SOCKET
    path.unlink(missing_ok=True)
    if not any(secrets.values()):
        return
    door = socket.socket(socket.AF_UNIX)
    try:
        door.bind(os.fspath(path))
        path.chmod(0o600)
        door.listen()
    except OSError as error:
        raise ConfigError(f"secrets cannot be handed over: {os_sentence(error)}") from None
    parent = os.getpid()
    if os.fork():
        door.close()
        return
    try:
        keep_to_itself()
        os.closerange(3, door.fileno())  # among them the lock of the start
        os.closerange(door.fileno() + 1, FILES_MAX)
        # Ctrl-C is for the whole terminal: the engine still needs us, and who we serve ends us.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        _serve(door, json.dumps(dict(secrets)).encode(), parent)
        path.unlink(missing_ok=True)
    finally:
        os._exit(0)


def _serve(door: socket.socket, data: bytes, parent: int) -> None:
    door.settimeout(LOOK_S)
    while os.getppid() == parent:
        with suppress(OSError):
            asked, _ = door.accept()
            with asked:
                asked.settimeout(LOOK_S)
                if _may(asked, parent):
                    asked.sendall(data)


def _may(asked: socket.socket, parent: int) -> bool:
    """Say whether the supervisor's engine asks; where the system cannot tell, who owns the socket.

    The folder is its owner's alone, so is the socket.
    """
    if sys.platform != "linux":
        return True
    sent = asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, user, _ = struct.unpack("3i", sent)
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    right = words[1:3] == [b"-m", b"engine"] and len(words) > 3 and words[3] in ASKERS
    return bool(user == os.geteuid() and int(stat[1]) == parent and right)


def ask_keeper(
    folder: Path, environment: MutableMapping[str, str], spared: list[str] | None = None
) -> bool:
    """Take over what the keeper holds, if this is a supervisor's program; False = no keeper.

    Raises ConfigError where it does not answer: an engine without its keys would stand blind;
    given `spared`, that is kept there instead.
    """
    if SUPERVISED not in environment or not (folder / SOCKET).exists():
        return False
    keep_to_itself()
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(ANSWER_S)
        try:
            door.connect(os.fspath(folder / SOCKET))
            data = b"".join(iter(lambda: door.recv(BYTES_MAX), b""))
            environment.update(json.loads(data))
        except (OSError, ValueError):
            text = "the secrets given to `up` cannot be read again: stop and restart the desk"
            if spared is None:
                raise ConfigError(text) from None
            spared.append(text)
            return False
    return True


def make_private(home: Path) -> None:
    """Let a home and all in it be its owner's alone. Raises ConfigError where it is another's."""
    if home.stat().st_uid != os.geteuid():
        raise ConfigError(
            f"{home} belongs to another user (uid {home.stat().st_uid}): choose a PITBOSS_HOME of "
            "your own"
        )
    home.chmod(0o700)
    for folder, folders, files in os.walk(home):
        for names, mode in ((folders, 0o700), (files, 0o600)):
            for name in names:
                with suppress(FileNotFoundError):  # a desk that runs may rotate
                    path = Path(folder, name)
                    if path.lstat().st_mode & 0o077 and not path.is_symlink():
                        path.chmod(mode)
