"""Secrets leave the environment, the keeper gives them to the engine alone, a home is private."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.live.handover import PASSPHRASE, SOCKET, ask_keeper, make_private, taken_out
from engine.venues.registry import secret_names
from tests.live.programs import REPOSITORY
from tests.ports import free_port

SECRET = (*secret_names(), PASSPHRASE)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")
KEEPING = """
import sys
from pathlib import Path
from engine.live.handover import leave_keeper
leave_keeper(Path(sys.argv[1]), {"VAULT_PASSPHRASE": "canary"})
print("kept", flush=True)
sys.stdin.read()
"""


def test_what_is_secret_is_taken_out_of_an_environment() -> None:
    environment = {"PATH": "/bin", "VAULT_PASSPHRASE": "x", "POLYMARKET_PRIVATE_KEY": "y"}
    assert taken_out(environment) == {"POLYMARKET_PRIVATE_KEY": "y", "VAULT_PASSPHRASE": "x"}
    assert environment == {"PATH": "/bin"}


@pytest.mark.long
@LINUX
def test_program_started_with_a_secret_has_none_in_its_environ(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    program = subprocess.Popen(
        [sys.executable, "-m", "engine", "demo", "--port", str(free_port())], cwd=REPOSITORY,
        env={**os.environ, "PITBOSS_HOME": str(tmp_path), "VAULT_PASSPHRASE": "canary"},
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert program.stderr is not None
    try:
        assert b"demo.open" in program.stderr.readline()
        environment = Path(f"/proc/{program.pid}/environ").read_bytes()
        assert b"PITBOSS_HOME" in environment
        assert b"canary" not in environment
    finally:
        program.terminate()
        program.stderr.close()
        program.wait(20)


@pytest.mark.long
@LINUX
def test_keeper_gives_nothing_to_a_program_that_is_not_the_supervisors_engine(
    tmp_path: Path,
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", KEEPING, str(tmp_path)], cwd=REPOSITORY,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdin is not None
    try:
        assert holder.stdout.readline() == b"kept\n"
        assert (tmp_path / SOCKET).stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(os.fspath(tmp_path / SOCKET))
            assert asked.recv(1_000) == b""
        with pytest.raises(ConfigError, match="cannot be read again"):
            ask_keeper(tmp_path, {"SUPERVISOR_ENABLED": "1"})
    finally:
        holder.stdin.close()
        holder.wait(20)
    holder.stdout.read()  # ends with the keeper, whose output it is, too
    holder.stdout.close()
    assert not (tmp_path / SOCKET).exists()


@pytest.mark.long
@LINUX
def test_process_that_holds_secrets_cannot_be_read_nor_dumped() -> None:
    code = (
        "import ctypes, resource; "
        "from engine.live.handover import keep_to_itself; keep_to_itself(); "
        "assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0; "
        "assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


def test_home_that_others_may_read_is_made_its_owners_alone(tmp_path: Path) -> None:
    home = tmp_path / "var"
    (home / "tape").mkdir(parents=True)
    for path in (home, home / "tape"):
        path.chmod(0o755)
    for path in (home / "pitboss.db", home / "tape" / "one"):
        path.touch()
        path.chmod(0o644)
    outside = tmp_path / "outside"
    outside.touch()
    outside.chmod(0o644)
    (home / "link").symlink_to(outside)
    make_private(home)
    assert [path.stat().st_mode & 0o777 for path in (home, home / "tape")] == [0o700, 0o700]
    assert (home / "pitboss.db").stat().st_mode & 0o777 == 0o600
    assert (home / "tape" / "one").stat().st_mode & 0o777 == 0o600
    assert outside.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_home_of_somebody_else_is_refused_in_words(tmp_path: Path) -> None:
    home = tmp_path / "var"
    home.mkdir()
    home.chmod(0o755)
    os.chown(home, 12_345, -1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        make_private(home)
    assert home.stat().st_mode & 0o777 == 0o755


def test_every_name_the_engine_reads_secrets_by_is_taken_out() -> None:
    assert {"POLYMARKET_PRIVATE_KEY", "POLYMARKET_API_SECRET", "VAULT_PASSPHRASE"} <= set(SECRET)
