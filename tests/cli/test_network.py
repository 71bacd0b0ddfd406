"""A user's shell: proxies of a VPN, exceptions in brackets, certificates that are not there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx
import pytest

from engine.__main__ import BAD_ARGUMENTS, main
from engine.cli import kill
from engine.cli.doctor import network
from engine.cli.network import problems, require_network
from engine.domain.catalog import Grade
from engine.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "ALL_PROXY",
            "socks5://127.0.0.1:9",
            "ALL_PROXY names a proxy that is spoken to by",
        ),
        ("all_proxy", "socks5h://u:secret@h:9", "all_proxy names a proxy that is spoken to by"),
        ("HTTPS_PROXY", "http://h:port", "HTTPS_PROXY names an address that cannot be read"),
        ("https_proxy", "http://", "https_proxy names no host"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "SSL_CERT_FILE names no file that is there"),
        ("SSL_CERT_DIR", "/nowhere", "SSL_CERT_DIR names no folder that is there"),
    ],
)
def test_what_no_connection_can_be_made_with_is_refused_by_its_name(
    name: str, value: str, said: str
) -> None:
    environment = {name: value, "HOME": "/h"}
    with pytest.raises(ConfigError, match=re.escape(said)) as raised:
        require_network(environment, spared=False)
    assert "secret" not in str(raised.value)
    assert network(environment).grade is Grade.FAIL
    assert require_network(environment, spared=True) == [str(raised.value)]
    assert environment == {"HOME": "/h"}


@pytest.mark.parametrize("value", ["http://127.0.0.1:9", "https://u:p@h:1", "h:3128", ""])
def test_a_proxy_that_is_spoken_here_is_left_alone(value: str) -> None:
    assert list(problems({"ALL_PROXY": value})) == []


def test_exceptions_in_brackets_are_read_by_every_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "localhost,[::1],[fe80::1]")
    require_network(os.environ, spared=False)
    assert os.environ["NO_PROXY"] == "localhost,::1,fe80::1"
    httpx.Client().close()


SOCKS = {"ALL_PROXY": "socks5://127.0.0.1:9", "SSL_CERT_FILE": "/nowhere"}


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {**SOCKS, "PITBOSS_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize("command", ["run", "up", "worker", "canary"])
def test_what_connects_is_refused_with_exit_code_2(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command]) == BAD_ARGUMENTS
    said = capsys.readouterr().err
    assert "ALL_PROXY names a proxy" in said
    assert "SSL_CERT_FILE names no file" in said


@pytest.mark.usefixtures("shell")
def test_a_kill_goes_past_what_it_does_not_need(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left: list[set[str]] = []

    def run(_args: object, _config: object) -> int:
        left.append(SOCKS.keys() & os.environ.keys())
        httpx.Client().close()
        return 0

    monkeypatch.setattr(kill, "run", run)
    assert main(["kill"]) == 0
    assert left == [set()]
    assert "ALL_PROXY names a proxy" in capsys.readouterr().err
