"""The desk as a systemd service: its unit, where it lies, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main
from engine.cli import service
from engine.clock import WallClock
from engine.config import load
from engine.errors import ConfigError
from storage import supervisor
from storage.commands import STOP_PROOF, Receipt, keep_receipt
from storage.database import transaction, writing
from storage.schema import migrate
from storage.users import ENGINE_ID
from tests.fakes.supervisor import supervised

HARD = {"NoNewPrivileges=yes", "ProtectSystem=strict", "MemoryMax=3G", "KillMode=mixed"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of a user who is not root, and his folder of units, where systemd runs."""
    monkeypatch.setattr(service, "BOOTED", tmp_path)
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path / "a home 100%"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What systemd was asked; it does all of it."""
    found: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        found.append(list(command))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(service.subprocess, "run", run)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return found


def test_a_printed_unit_is_hardened_and_changes_nothing(
    home: Path, asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["service", "install", "--print", "--port", "8601"]) == 0
    lines = set(capsys.readouterr().out.splitlines())
    assert lines >= HARD
    assert f'Environment="PITBOSS_HOME={home}/a home 100%%"' in lines
    assert any(
        line.endswith("-m engine up --no-password --port 8601 --demo-port 8611") for line in lines
    )
    assert asked == []
    assert not (home / "config").exists()


NEEDS_CAPABILITIES = (
    "AmbientCapabilities", "CapabilityBoundingSet", "PrivateDevices", "ProtectClock",
    "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules",
)  # fmt: skip
"""What ends a unit of a user's own manager with 218/CAPABILITIES before it starts."""


def directives(text: str) -> set[str]:
    return {line.partition("=")[0] for line in text.splitlines()}


def test_a_unit_of_a_user_asks_for_nothing_his_own_manager_cannot_do(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["service", "install", "--print"]) == 0
    own = directives(capsys.readouterr().out)
    assert "SystemCallArchitectures" in own
    assert own.isdisjoint(NEEDS_CAPABILITIES)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert main(["service", "install", "--print", "--user", "daemon"]) == 0
    systems = directives(capsys.readouterr().out)
    assert systems >= {"User", "CapabilityBoundingSet", "ProtectKernelModules"}


@pytest.mark.parametrize("words", [(), ("--user", "daemon")])
def test_systemd_finds_nothing_wrong_with_the_unit(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    if words:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze, the unit is not verified: apt-get install systemd")
    assert main(["service", "install", "--print", *words]) == 0
    file = home / service.UNIT
    file.write_text(capsys.readouterr().out)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    about_ours = [line for line in done.stderr.splitlines() if service.UNIT in line]
    assert (done.returncode, about_ours) == (0, [])


def test_an_install_says_each_line_and_starts_it(
    home: Path, asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["service", "install"]) == 3  # its home is not there: the unit could not start
    assert "install -d -m 700" in capsys.readouterr().err
    (home / "a home 100%").mkdir()
    assert main(["service", "install"]) == 0
    file = home / "config" / "systemd" / "user" / service.UNIT
    said = capsys.readouterr().out
    assert [line for line in file.read_text().splitlines() if f"  {line}" not in said] == []
    assert "loginctl enable-linger" in said
    started = ["systemctl", "--user", "enable", "--now", service.UNIT]
    assert asked == [["systemctl", "--user", "daemon-reload"], started]
    assert main(["service", "remove"]) == 0
    assert not file.exists()
    assert ["systemctl", "--user", "disable", "--now", service.UNIT] in asked


def test_what_is_not_installed_is_refused_with_its_word(
    home: Path, asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert home.exists()
    assert main(["service", "stop", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["reason"] == "not_installed"
    assert asked == []


def test_a_stop_prints_what_it_has_proved_and_a_start_asks_for_the_unit(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load(os.environ)
    config.run_folder.mkdir(parents=True)
    migrate(config.state_path)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        now_ns = WallClock().now_ns()
        if proves and "start" not in command:
            receipt = Receipt(
                id="stop", who="engine", reason="engine stops", latched_ns=now_ns,
                first_cancel_ns=None, reported_ns=now_ns, proven=True, accounts=(),
            )  # fmt: skip
            with writing(config.state_path) as connection, transaction(connection):
                keep_receipt(connection, ENGINE_ID, STOP_PROOF, receipt)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(service.subprocess, "run", run)
    proves = True
    assert main(["service", "install"]) == 0
    monkeypatch.setenv("PITBOSS_HOME", str(home / "of another desk"))
    with supervised(supervisor.socket_in(config.run_folder), engine="RUNNING"):
        assert main(["service", "stop"]) == 0
        assert "PROVEN: nothing of ours is open" in capsys.readouterr().out
        proves = False
        assert main(["service", "stop"]) == 1
        assert "NOT PROVEN: this stop left no receipt" in capsys.readouterr().out
    assert main(["service", "stop"]) == 0
    assert "the engine was not running" in capsys.readouterr().out
    assert main(["service", "start"]) == 0
    assert f"systemctl --user start {service.UNIT}\nstarted" in capsys.readouterr().out


@pytest.mark.parametrize("lacks", ["systemctl", "systemd that runs"])
def test_a_machine_without_systemd_is_told_and_nothing_is_written(
    lacks: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = None if lacks == "systemctl" else "/usr/bin/systemctl"
    monkeypatch.setattr(shutil, "which", lambda _: found)
    if found:
        monkeypatch.setattr(service, "BOOTED", home / "none")
    assert main(["service", "install", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["reason"] == "no_systemd"
    assert not (home / "config").exists()


def test_a_desk_is_never_run_by_root() -> None:
    place = service.place_of(0)
    assert (place.file.parent, place.user) == (service.SYSTEM_FOLDER, "pitboss")
    with pytest.raises(ConfigError, match="does not run as root"):
        service._must_be_able_to_run("root")
    with pytest.raises(ConfigError, match="adduser --system"):
        service._must_be_able_to_run("no-such-user-here")


@pytest.mark.parametrize("size", ["lots", "0", "3 G", "-1", "200%"])
def test_a_size_that_systemd_would_not_take_is_refused(
    size: str, home: Path, asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["service", "install", f"--memory-max={size}"])
    assert "is no size: write 3G" in capsys.readouterr().err
    assert (asked, (home / "config").exists()) == ([], False)
