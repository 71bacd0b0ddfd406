"""The container files, linted: no image is built here, so each line is held to what it says."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from engine.__main__ import build_parser
from engine.cli.service import STOP_S
from pages.frame.server import health
from storage.supervisor import BY_HAND

ROOT = Path(__file__).parents[1]
KNOWN = {
    "FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "HEALTHCHECK", "STOPSIGNAL", "CMD",
}  # fmt: skip
HOME = "/var/lib/pitboss"


def instructions() -> list[tuple[str, str]]:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    made = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in made]


def of(word: str) -> list[str]:
    return [rest for one, rest in instructions() if one == word]


def copied() -> list[str]:
    return [name for rest in of("COPY") for name in shlex.split(rest)[:-1]]


def test_every_instruction_is_known_and_the_base_is_pinned() -> None:
    assert {word for word, _ in instructions()} <= KNOWN
    (base,) = of("FROM")
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base), "a named release, never latest"
    assert "\\\n" not in (ROOT / "Dockerfile").read_text(), "this test reads line by line"


def test_the_packages_are_those_of_the_lock_by_hash() -> None:
    (install,) = (run for run in of("RUN") if "pip install" in run)
    for word in ("--require-hashes", "--no-deps", "--only-binary :all:", "-r requirements.txt"):
        assert word in install
    words = [word for word, _ in instructions()]
    assert words.index("RUN") < words.index("COPY", words.index("COPY") + 1), "its layer is kept"


def test_it_does_not_run_as_root_and_its_home_is_the_one_volume() -> None:
    words = [word for word, _ in instructions()]
    (user,) = of("USER")
    assert user not in ("root", "0")
    assert words.index("USER") < words.index("CMD")
    assert of("VOLUME") == [HOME]
    assert f"PITBOSS_HOME={HOME}" in of("ENV")[0]
    assert any(f"install -d -m 700 -o {user} -g {user} {HOME}" in run for run in of("RUN"))


def test_the_command_and_the_health_check_are_the_products_own() -> None:
    command = json.loads(of("CMD")[0])
    assert command[:3] == [".venv/bin/python", "-m", "engine"]
    given = build_parser(command[3:])[0].parse_args(command[3:])
    assert (command[3], given.port, given.no_password) == ("up", 8501, True)
    check = of("HEALTHCHECK")[0]
    asked = json.loads(check.partition("CMD ")[2])
    assert f"http://127.0.0.1:{given.port}{health.path}" in asked[-1]
    compile(asked[-1], "HEALTHCHECK", "exec")


@pytest.mark.long
def test_what_is_copied_is_all_that_is_let_in_and_runs(tmp_path: Path) -> None:
    let_in = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    assert sorted(copied()) == sorted(let_in)
    inside = tmp_path / "opt"
    inside.mkdir()
    for name in copied():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, inside / name)  # what is compiled, too: for speed alone
        else:
            shutil.copy(source, inside / name)
    done = subprocess.run(
        [sys.executable, "-m", "engine", "migrate"], cwd=inside, capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "PITBOSS_HOME": str(tmp_path / "home")}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "home" / "pitboss.db").is_file()


def longest_stop_s() -> int:
    """Return how long supervisor may take to stop the programs, one after another."""
    conf = configparser.RawConfigParser()
    conf.read(ROOT / "supervisord.conf")
    programs = (one for one in conf.sections() if one.startswith("program:"))
    return sum(conf.getint(one, "stopwaitsecs") for one in programs if one != f"program:{BY_HAND}")


def test_compose_has_one_desk_with_one_volume_on_loopback() -> None:
    made = yaml.safe_load((ROOT / "compose.yaml").read_text())
    (name,) = made["volumes"]
    (desk,) = made["services"].values()
    assert desk["volumes"] == [f"{name}:{HOME}"]
    assert desk["network_mode"] == "host", "the desk's own 127.0.0.1 is the machine's"
    assert "ports" not in desk
    grace_s = int(desk["stop_grace_period"].removesuffix("s"))
    assert grace_s == STOP_S, "as systemd"
    assert grace_s >= longest_stop_s(), "the watch ends last and tells of a stop that is not proven"
    assert desk["cap_drop"] == ["ALL"]
    assert desk["security_opt"] == ["no-new-privileges:true"]
    assert desk["read_only"] is True
    assert desk["init"] is True


@pytest.mark.parametrize("secret", [".env", "vault.json", "var", ".git"])
def test_no_secret_and_no_state_is_let_in(secret: str) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*", "everything is left out but what is named"
    assert f"!{secret}" not in lines
