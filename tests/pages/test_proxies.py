"""The two recipes of docs/vps.md, as they stand there, before a real dashboard: nginx and caddy.

Only what a test must have of its own is put in: the port, the certificate, the desk's port.
"""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
import websockets.sync.client
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pages.frame.session import COOKIE
from storage.latch import read_latch
from tests.pages.desks import REPOSITORY, Desk, until_answered
from tests.ports import free_port

NAME = "desk.example.com"
GUIDE = REPOSITORY / "docs" / "vps.md"
PAGE = {"accept": "text/html"}
START_S = 60.0
WAIT_S = 150.0
"""Long: on a machine under load a first page takes minutes; nothing waits in vain."""


class NamedDesk(Desk):
    """A dashboard that answers to the guide's host name, too."""

    def start(self) -> None:
        hosts = [word for one in ("127.0.0.1", NAME) for word in ("--server.allowedHosts", one)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py",
             "--server.port", str(self.port), *hosts],
            cwd=REPOSITORY, env={"PATH": "/usr/bin:/bin", "PITBOSS_HOME": str(self.config.home)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until_answered(f"{self.address}/health", self.process)


def recipe(begins: str) -> str:
    """Return the code block of the guide that begins with a line."""
    blocks = re.findall(r"^```\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    (found,) = (block for block in blocks if block.startswith(begins))
    return str(found)


def put(text: str, *pairs: tuple[str, str]) -> str:
    """Put in what is a test's own; each must stand in the recipe."""
    for before, after in pairs:
        assert before in text, before
        text = text.replace(before, after)
    return text


def certificate(folder: Path) -> tuple[Path, Path]:
    key, chain = folder / "privkey.pem", folder / "fullchain.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-keyout", str(key), "-out", str(chain), "-days", "2",
            "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True)
    return chain, key


def nginx(folder: Path, port: int, desk: Desk, chain: Path, key: Path) -> list[str]:
    """Write the guide's server into a file of nginx; return the command that runs it."""
    served = put(
        recipe("server {"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/letsencrypt/live/desk.example.com/fullchain.pem", str(chain)),
        ("/etc/letsencrypt/live/desk.example.com/privkey.pem", str(key)),
        ("127.0.0.1:8501", f"127.0.0.1:{desk.port}"),
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{served}}}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(file), "-e", f"{folder}/error.log"]


def caddy(folder: Path, port: int, desk: Desk, chain: Path, key: Path) -> list[str]:
    """Write the guide's site into a Caddyfile; return the command that runs it."""
    site = put(
        recipe(f"{NAME} {{"),
        (f"{NAME} {{", f"https://{NAME}:{port} {{\n    bind 127.0.0.1\n    tls {chain} {key}"),
        ("127.0.0.1:8501", f"127.0.0.1:{desk.port}"),
    )
    file = folder / "Caddyfile"
    own = "{\n    admin off\n    auto_https disable_redirects\n"
    own += f"    storage file_system {folder}\n}}\n"
    file.write_text(own + site)
    return ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]


PROXIES: dict[str, Callable[..., list[str]]] = {"nginx": nginx, "caddy": caddy}


class Proxy:
    """A proxy that runs before the desk, as a browser at the guide's address sees it."""

    def __init__(self, desk: Desk, port: int, chain: Path) -> None:
        self.desk = desk
        self.port = port
        self.trust = ssl.create_default_context(cafile=str(chain))
        self.client = httpx.Client(
            base_url=f"https://127.0.0.1:{port}", verify=self.trust, headers={"host": NAME},
            timeout=WAIT_S,
        )  # fmt: skip

    def ask(self, method: str, path: str, **given: object) -> httpx.Response:
        headers = {"host": NAME, **given.pop("headers", {})}  # type: ignore[dict-item]
        return self.client.request(
            method, path, headers=headers, extensions={"sni_hostname": NAME}, **given,  # type: ignore[arg-type]
        )  # fmt: skip

    def sign_in(self, password: str) -> httpx.Response:
        body = urlencode({"name": "operator", "password": password, "next": "/"})
        kind = {"content-type": "application/x-www-form-urlencoded", "origin": f"https://{NAME}"}
        return self.ask("POST", "/sign-in", content=body, headers=kind)

    def socket(self, cookie: str) -> websockets.sync.client.ClientConnection:
        """Open the page's WebSocket as a browser does."""
        return websockets.sync.client.connect(
            f"wss://{NAME}/_stcore/stream",
            sock=socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S),
            ssl=self.trust, server_hostname=NAME, origin=f"https://{NAME}",  # type: ignore[arg-type]
            additional_headers={"Cookie": cookie}, subprotocols=["streamlit"],  # type: ignore[list-item]
            max_size=None, open_timeout=WAIT_S, proxy=None,
        )  # fmt: skip


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    started = NamedDesk(tmp_path_factory.mktemp("desk"))
    yield started
    started.stop()


@pytest.fixture(scope="module", params=sorted(PROXIES))
def proxy(
    request: pytest.FixtureRequest, desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    name = str(request.param)
    if shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin") is None:
        pytest.skip(f"this machine has no {name}: apt-get install {name}")
    folder = tmp_path_factory.mktemp(name)
    port, (chain, key) = free_port(), certificate(folder)
    command = PROXIES[name](folder, port, desk, chain, key)
    environment = {"PATH": "/usr/sbin:/usr/bin", "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "output").open("wb") as output:
        running = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        until = time.monotonic() + START_S
        while True:
            assert running.poll() is None, (folder / "output").read_text()
            assert time.monotonic() < until, "it does not listen"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        made = Proxy(desk, port, chain)
        yield made
        made.client.close()
    finally:
        running.terminate()
        running.wait(150)


def signed_in(proxy: Proxy) -> tuple[str, str]:
    """Sign in; return the cookie to send, and as it was set."""
    answer = proxy.sign_in(proxy.desk.password)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    said = answer.headers["set-cookie"]
    proxy.client.cookies.clear()
    return said.split(";")[0], said


def test_sign_in_page_and_kill_go_through(proxy: Proxy) -> None:
    refused = proxy.ask("GET", "/", headers=PAGE)
    assert refused.status_code == 401
    assert "Sign in to this desk" in refused.text
    wrong = proxy.sign_in("not-the-password")
    assert wrong.status_code == 401
    cookie, said = signed_in(proxy)
    assert cookie.startswith(f"{COOKIE}=")
    assert {"secure", "httponly"} <= {word.strip().lower() for word in said.split(";")}
    page = proxy.ask("GET", "/", headers={**PAGE, "cookie": cookie})
    assert page.status_code == 200
    assert '<div id="root"' in page.text
    other = {"cookie": cookie, "origin": "https://evil.example.com"}
    assert proxy.ask("POST", "/panic", headers=other).status_code == 403
    path = proxy.desk.config.kill_path
    assert read_latch(path) is None
    killed = proxy.ask("POST", "/panic", headers={"cookie": cookie, "origin": f"https://{NAME}"})
    assert killed.status_code < 300, killed.text
    assert read_latch(path) is not None
    path.unlink()


def talk(proxy: Proxy, seconds: float) -> int:
    """Have a page drawn over the WebSocket, again and again for a while; return how many frames."""
    cookie, _ = signed_in(proxy)
    frames, until = 0, time.monotonic() + seconds
    with proxy.socket(cookie) as opened:
        while True:
            asked = BackMsg()
            asked.rerun_script.query_string = ""
            opened.send(asked.SerializeToString())
            ended = False
            while not ended:
                said = ForwardMsg()
                said.ParseFromString(opened.recv(timeout=WAIT_S))  # type: ignore[arg-type]
                frames += 1
                ended = said.WhichOneof("type") == "script_finished"
            if time.monotonic() >= until:
                return frames
            time.sleep(1)


@pytest.mark.sampled(2)
def test_the_websocket_carries_a_page_and_is_closed_to_strangers(proxy: Proxy) -> None:
    assert talk(proxy, 0) > 3
    with (
        pytest.raises((ConnectionClosed, InvalidStatus)),
        proxy.socket(f"{COOKIE}=forged") as opened,
    ):
        opened.recv(timeout=WAIT_S)


@pytest.mark.soak
def test_the_websocket_stands_for_ten_minutes(proxy: Proxy) -> None:
    assert talk(proxy, 600) > 600
