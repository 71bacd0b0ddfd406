from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest

from engine.cli import up
from engine.config import load, other_home
from engine.errors import ConfigError, StorageError
from engine.locks import locked
from storage.users import ensure_operator
from tests.ports import free_port


@pytest.fixture(autouse=True)
def no_supervisor(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Keep this process where `up` would become supervisord."""

    def become(*_: Any) -> NoReturn:
        raise AssertionError("became supervisord")

    monkeypatch.chdir(Path.cwd())  # it goes to the repository; afterwards we are back
    monkeypatch.setattr(os, "execve", become)
    monkeypatch.setattr(up.subprocess, "Popen", lambda *_, **__: None)  # what watches its programs
    monkeypatch.setattr(up, "PORT_WAIT_S", 0.0)
    monkeypatch.setattr(up, "LAST_HOME", str(tmp_path_factory.mktemp("clone") / ".last_home"))


def typed(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(detach=False, **given)


def listening(family: int, address: Any) -> socket.socket:
    found = socket.socket(family)
    found.bind(address)
    found.listen()
    return found


@pytest.mark.parametrize("taken", ["port", "demo_port"])
def test_a_port_somebody_else_listens_on_is_refused_and_nothing_is_made(
    tmp_path: Path, taken: str
) -> None:
    config = load({"PITBOSS_HOME": str(tmp_path)})
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as stranger:
        theirs = stranger.getsockname()[1]
        ports = {"port": free_port(), "demo_port": free_port(), taken: theirs}
        option = f"--{taken.replace('_', '-')}"
        typed_to_make = rf'make run ARGS="{option} \d+"'
        with pytest.raises(ConfigError, match=rf"{theirs} .* {option} .*{typed_to_make}"):
            up.run(typed(**ports, no_password=False), config)
    assert not config.state_path.exists()


def test_make_says_what_is_installed_and_how_long_before_pip_begins() -> None:
    recipe = (up.REPOSITORY / "Makefile").read_text().split("\n$(READY):")[1].split("\n\n")[0]
    said, _, quiet = recipe.partition("-m venv")
    assert "@echo" in said
    assert "Installing the packages" in said
    assert quiet.count(" -q ") == 2, "pip and uv say nothing themselves"


def test_a_port_that_is_waited_for_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load({"PITBOSS_HOME": str(tmp_path)})
    monkeypatch.setattr(up, "PORT_WAIT_S", 0.5)
    said = []
    monkeypatch.setattr(up.time, "sleep", lambda _: said.append(capsys.readouterr().out))
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as stranger:
        theirs = stranger.getsockname()[1]
        with pytest.raises(ConfigError):
            up.run(
                typed(port=theirs, demo_port=free_port(), no_password=False),
                config,
            )
    assert said == [f"port {theirs} is taken: waiting 0.5 s for its end\n", "", ""]


def test_a_second_desk_on_a_home_is_refused_before_its_state_is_touched(tmp_path: Path) -> None:
    config = load({"PITBOSS_HOME": str(tmp_path)})
    config.run_folder.mkdir()
    ports = typed(port=free_port(), demo_port=free_port(), no_password=False)
    path = config.run_folder / "supervisor.sock"
    with (
        listening(socket.AF_UNIX, str(path)),
        pytest.raises(StorageError, match="another desk runs"),
    ):
        up.run(ports, config)
    assert not config.state_path.exists()


def test_the_socket_a_dead_desk_left_keeps_nobody_from_starting(tmp_path: Path) -> None:
    config = load({"PITBOSS_HOME": str(tmp_path)})
    config.run_folder.mkdir()
    ports = typed(port=free_port(), demo_port=free_port(), no_password=False)
    listening(socket.AF_UNIX, str(config.run_folder / "supervisor.sock")).close()
    with pytest.raises(AssertionError, match="became supervisord"):
        up.run(ports, config)
    assert ensure_operator(config.state_path, 1) is None  # it was made with the state


def test_a_desk_that_is_just_starting_keeps_a_second_from_the_state(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Its supervisor does not answer yet, and its ports are free still."""
    # A name as short as can be: that of a socket has about a hundred characters.
    config = load({"PITBOSS_HOME": str(tmp_path_factory.mktemp("up"))})
    ports = typed(port=free_port(), demo_port=free_port(), no_password=False)
    with (
        locked(config.run_folder / "desk.lock", "desk"),
        pytest.raises(StorageError, match="another desk runs"),
    ):
        up.run(ports, config)
    assert not config.state_path.exists()
    with pytest.raises(AssertionError, match="became supervisord"):
        up.run(ports, config)


def test_a_home_that_is_not_the_one_of_the_last_start_is_named(tmp_path: Path) -> None:
    config = load({"PITBOSS_HOME": str(tmp_path / "a")})
    record = Path(up.LAST_HOME)
    assert other_home(config.home, record) == ""
    ports = typed(port=free_port(), demo_port=free_port(), no_password=False)
    with pytest.raises(AssertionError, match="became supervisord"):
        up.run(ports, config)
    assert other_home(config.home, record) == ""
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert other_home(tmp_path / "link", record) == ""
    assert f"had its state in {tmp_path / 'a'}" in other_home(tmp_path / "b", record)


def test_a_new_password_is_not_printed_where_output_is_kept_in_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load({"PITBOSS_HOME": str(tmp_path)})
    ports = typed(port=free_port(), demo_port=free_port(), no_password=True)
    with pytest.raises(AssertionError, match="became supervisord"):
        up.run(ports, config)
    said = capsys.readouterr().out
    assert "--renew" in said
    assert "with the password" not in said
