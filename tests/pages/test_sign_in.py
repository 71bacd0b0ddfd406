from __future__ import annotations

import asyncio
import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.types import ASGIApp, Message
from starlette.websockets import WebSocket, WebSocketDisconnect
from streamlit.config import get_option, set_option

from engine.config import Config
from pages.frame import server, session
from pages.frame.server import HeldSocket, SignIn, health, panic
from pages.frame.session import COOKIE, secret
from storage import users
from storage.database import reading, transaction, writing
from storage.latch import read_latch
from storage.users import ENGINE_ID, renew_password
from storage.views import audit

PAGES = Path(__file__).resolve().parents[2] / "pages"
PAGE = {"accept": "text/html"}
STREAM = "/_stcore/stream"
HERE, SOCKETS = "http://localhost:8501", "ws://localhost:8501"


async def _page(_request: Request) -> HTMLResponse:
    return HTMLResponse("<html><head></head><body>inside</body></html>")


async def _asset(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("asset")


async def _echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("inside")
    async for text in socket.iter_text():
        await socket.send_text(text)


@pytest.fixture
def client(config: Config) -> Iterator[TestClient]:
    app = Starlette(
        routes=[
            health,
            panic,
            Route("/risk", _page),
            Route("/app/static/x.woff2", _asset),
            WebSocketRoute("/_stcore/stream", _echo),
            Mount("/", StaticFiles(directory=PAGES)),
        ],
        middleware=[SignIn],
    )
    with TestClient(app, base_url=HERE, follow_redirects=False) as opened:
        yield opened


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [1_700_000_000_000_000_000]
    monkeypatch.setattr(server, "now_ns", lambda: now[0])
    return now


def enter(client: TestClient, password: str, after: str = "/") -> int:
    fields = {"name": "operator", "password": password, "next": after}
    return client.post("/sign-in", data=fields).status_code


def test_a_page_asked_for_directly_shows_the_sign_in(client: TestClient) -> None:
    answer = client.get("/risk?x=1", headers=PAGE)
    assert answer.status_code == 401
    assert "Password" in answer.text
    assert 'value="/risk?x=1"' in answer.text
    assert "inside" not in answer.text


def test_files_of_the_app_and_panic_need_a_sign_in(client: TestClient, config: Config) -> None:
    assert client.get("/app/static/x.woff2").status_code == 401
    assert client.post("/panic").status_code == 401
    assert read_latch(config.kill_path) is None


def test_a_websocket_without_a_cookie_is_closed(client: TestClient) -> None:
    with (
        pytest.raises(WebSocketDisconnect) as closed,
        client.websocket_connect(SOCKETS + STREAM),
    ):
        pass
    assert closed.value.code == 1008


def test_a_browser_that_is_gone_breaks_nothing_behind_it() -> None:
    async def heard() -> Message:
        return {"type": "websocket.disconnect", "code": 1006}

    async def gone(_: Message) -> None:
        raise ConnectionResetError

    async def both() -> Message:
        held = HeldSocket(heard, gone, lambda: "operator")
        await held.send({"type": "websocket.send", "bytes": b"x"})
        return await held.receive()

    assert asyncio.run(both())["code"] == 1006


def test_health_alone_is_open(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}


def test_the_right_password_opens_everything(client: TestClient, password: str) -> None:
    answer = client.post(
        "/sign-in", data={"name": "operator", "password": password, "next": "/risk"}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/risk")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Max-Age=1209600" in cookie
    assert "inside" in client.get("/risk", headers=PAGE).text
    assert client.get("/app/static/x.woff2").text == "asset"
    with client.websocket_connect(SOCKETS + STREAM) as socket:
        assert socket.receive_text() == "inside"


def test_a_wrong_password_opens_nothing(client: TestClient) -> None:
    answer = client.post("/sign-in", data={"name": "operator", "password": "wrong", "next": "/"})
    assert answer.status_code == 401
    assert "Wrong password" in answer.text
    assert "set-cookie" not in answer.headers


def test_an_unknown_name_is_answered_like_a_wrong_password(
    client: TestClient, password: str
) -> None:
    answer = client.post("/sign-in", data={"name": "root", "password": password})
    assert answer.status_code == 401
    assert "Wrong password" in answer.text


def test_delays_grow_and_the_right_password_waits_too(
    client: TestClient, password: str, clock: list[int]
) -> None:
    assert [enter(client, "wrong") for _ in range(4)] == [401] * 4
    assert enter(client, password) == 429
    clock[0] += 2 * 10**9
    assert enter(client, "wrong") == 401
    clock[0] += 3 * 10**9
    assert enter(client, password) == 429
    clock[0] += 10**9
    assert enter(client, password) == 303


def test_a_refused_guess_says_how_long_to_wait(client: TestClient, clock: list[int]) -> None:
    for _ in range(4):
        enter(client, "wrong")
    answer = client.post("/sign-in", data={"name": "operator", "password": "x"})
    assert answer.headers["retry-after"] == "2"
    assert "Try again in 2 s" in answer.text


def test_a_restart_forgives_nothing(config: Config, client: TestClient, clock: list[int]) -> None:
    for _ in range(5):
        enter(client, "wrong")
        clock[0] += 3 * 10**9
    assert server.read(config.run_folder / "sign_in.json").failures == 5


def test_a_clock_set_back_cannot_lock_for_longer() -> None:
    state = server.Lockout(failures=4, until_ns=10**18)
    assert state.wait_s(0) == 2


def test_the_delay_has_a_maximum() -> None:
    assert server.Lockout(failures=500).delay_s == server.DELAY_S_MAX


def test_another_site_cannot_post(client: TestClient, password: str, config: Config) -> None:
    enter(client, password)
    foreign = {"origin": "http://evil.example"}
    assert client.post("/panic", headers=foreign).status_code == 403
    assert read_latch(config.kill_path) is None
    assert client.post("/panic", headers={"origin": "http://localhost:8501"}).status_code == 200
    assert read_latch(config.kill_path) is not None


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example", "/\\evil", "\t/x"])
def test_sign_in_never_leads_to_another_site(client: TestClient, password: str, after: str) -> None:
    fields = {"name": "operator", "password": password, "next": after}
    assert client.post("/sign-in", data=fields).headers["location"] == "/"


def test_a_new_password_ends_old_sessions(
    client: TestClient, password: str, config: Config
) -> None:
    enter(client, password)
    assert client.get("/risk", headers=PAGE).status_code == 200
    renew_password(config.state_path, 1)
    assert client.get("/risk", headers=PAGE).status_code == 401


def test_a_disabled_user_is_out(client: TestClient, password: str, config: Config) -> None:
    enter(client, password)
    with writing(config.state_path) as connection:
        connection.execute("UPDATE users SET disabled = 1")
    assert client.get("/risk", headers=PAGE).status_code == 401
    assert enter(client, password) == 401


def test_a_forged_cookie_is_not_believed(client: TestClient) -> None:
    client.cookies.set(COOKIE, "WyJvcGVyYXRvciIsImFiIl0.aaaa.bbbb")
    assert client.get("/risk", headers=PAGE).status_code == 401


def test_a_session_survives_a_restart_and_an_unreadable_database(
    client: TestClient, password: str, config: Config
) -> None:
    enter(client, password)
    server.signed_in.__globals__["_last_known"].clear()
    config.state_path.write_bytes(b"no database at all, " * 500)
    assert client.post("/panic").status_code == 200
    assert read_latch(config.kill_path) is not None


def test_the_secret_is_for_its_owner_alone_and_stays(config: Config) -> None:
    first = secret(config)
    path = config.run_folder / "cookie.secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret(config) == first
    assert len(first) > 40


def test_signing_out_ends_the_session_of_this_browser(client: TestClient, password: str) -> None:
    enter(client, password)
    assert "Sign out" in client.get("/sign-out", headers=PAGE).text
    assert client.get("/risk", headers=PAGE).status_code == 200
    assert client.post("/sign-out").status_code == 303
    assert client.get("/risk", headers=PAGE).status_code == 401


def received(socket: WebSocketTestSession, text: str) -> str:
    if text == "one":
        assert socket.receive_text() == "inside"
    socket.send_text(text)
    return socket.receive_text()


def test_an_open_tab_does_not_outlive_a_sign_out(client: TestClient, password: str) -> None:
    enter(client, password)
    with client.websocket_connect(SOCKETS + STREAM) as socket:
        assert received(socket, "one") == "one"
        client.post("/sign-out")
        with pytest.raises(WebSocketDisconnect) as ended:
            received(socket, "two")
    assert ended.value.code == 1008


def test_an_open_tab_does_not_outlive_a_new_password(
    client: TestClient, password: str, config: Config
) -> None:
    enter(client, password)
    with client.websocket_connect(SOCKETS + STREAM) as socket:
        assert received(socket, "one") == "one"
        renew_password(config.state_path, 1)
        with pytest.raises(WebSocketDisconnect):
            received(socket, "two")


def test_signing_out_here_leaves_another_browser_signed_in(
    client: TestClient, password: str
) -> None:
    enter(client, password)
    other = client.cookies[COOKIE]
    client.cookies.clear()
    enter(client, password)
    client.post("/sign-out")
    client.cookies.set(COOKIE, other)
    assert client.get("/risk", headers=PAGE).status_code == 200


def test_a_copied_cookie_is_worth_nothing_after_the_sign_out(
    client: TestClient, password: str
) -> None:
    enter(client, password)
    copied = client.cookies[COOKIE]
    client.post("/sign-out")
    client.cookies.set(COOKIE, copied)
    assert client.get("/risk", headers=PAGE).status_code == 401


def test_no_page_may_be_framed(client: TestClient, password: str) -> None:
    assert client.get("/risk", headers=PAGE).headers["x-frame-options"] == "DENY"
    enter(client, password)
    assert client.get("/risk", headers=PAGE).headers["x-frame-options"] == "DENY"


def test_a_large_form_is_refused(client: TestClient) -> None:
    assert enter(client, "x" * 5_000) == 413


def test_pages_get_the_theme_before_anything_reads_it(client: TestClient, password: str) -> None:
    enter(client, password)
    answer = client.get("/risk", headers=PAGE)
    assert re.match(r"<html><head><script>.*pitboss_theme.*</script></head>", answer.text)
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_without_an_operator_the_page_says_how_to_make_one(
    client: TestClient, config: Config
) -> None:
    with writing(config.state_path) as connection:
        connection.execute("DELETE FROM users")
    assert "python -m pages.frame.operator" in client.get("/", headers=PAGE).text


def started_anew(config: Config) -> TestClient:
    """Return a dashboard's gate as after a restart: nothing but what is on the disk is known."""
    session._last_known.clear()
    session._ended.clear()
    routes = [Route("/risk", _page), WebSocketRoute(STREAM, _echo)]
    return TestClient(Starlette(routes=routes, middleware=[SignIn]), base_url=HERE)


def test_a_signed_out_cookie_stays_worthless_after_a_restart(
    client: TestClient, password: str, config: Config
) -> None:
    enter(client, password)
    copied = client.cookies[COOKIE]
    client.post("/sign-out")
    enter(client, password)
    other = started_anew(config)
    other.cookies.set(COOKIE, copied)
    assert other.get("/risk", headers=PAGE).status_code == 401
    other.cookies.set(COOKIE, client.cookies[COOKIE])
    assert other.get("/risk", headers=PAGE).status_code == 200


def test_an_unreadable_list_of_ended_sessions_ends_all_and_a_new_sign_in_works(
    client: TestClient, password: str, config: Config
) -> None:
    enter(client, password)
    client.post("/sign-out")
    enter(client, password)
    (config.run_folder / "signed_out.json").write_bytes(b"\xff{")
    assert client.get("/risk", headers=PAGE).status_code == 401
    assert enter(client, password) == 303
    assert client.get("/risk", headers=PAGE).status_code == 200


def test_a_sign_out_that_cannot_be_kept_says_so(
    client: TestClient, password: str, config: Config
) -> None:
    enter(client, password)
    assert client.get("/risk", headers=PAGE).status_code == 200
    (config.run_folder / "signed_out.json").mkdir()
    answer = client.post("/sign-out")
    assert answer.status_code == 503
    assert "until the dashboard restarts" in answer.text
    assert client.get("/risk", headers=PAGE).status_code == 401


def entries(config: Config) -> list[tuple[str, str, dict[str, object]]]:
    """Return who came and went, the oldest first."""
    with reading(config.state_path) as connection:
        rows = audit(connection, ENGINE_ID)
    kinds = {"signed in", "wrong password", "locked out", "signed out"}
    found = [(row["what"], row["who"], json.loads(row["detail"])) for row in rows[::-1]]
    return [row for row in found if row[0] in kinds]


def test_each_way_in_and_out_leaves_an_audit_row(
    client: TestClient, password: str, config: Config, clock: list[int]
) -> None:
    enter(client, "wrong")
    client.post("/sign-in", data={"name": "my-secret-passphrase", "password": "x"})
    enter(client, password)
    client.post("/sign-out")
    where = {"from": "testclient"}
    assert entries(config) == [
        ("wrong password", "operator", {**where, "failures": 1}),
        # What somebody typed for a name may be his password: it is not kept.
        ("wrong password", "unknown", {**where, "failures": 2}),
        ("signed in", "operator", where),
        ("signed out", "operator", where),
    ]


def test_guesses_leave_few_rows_and_the_refused_ones_are_counted(
    client: TestClient, password: str, config: Config, clock: list[int]
) -> None:
    for _ in range(68):
        enter(client, "wrong")
    clock[0] += 2 * 10**9
    enter(client, password)
    where = {"from": "testclient"}
    assert entries(config) == [
        *[("wrong password", "operator", {**where, "failures": n}) for n in (1, 2, 3)],
        ("locked out", "operator", {**where, "failures": 4, "wait_s": 2}),
        ("signed in", "operator", {**where, "refused_before": 64}),
    ]


def test_a_locked_database_keeps_nobody_out(
    client: TestClient, password: str, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "ENTRY_BUSY_MS", 10)
    with writing(config.state_path) as holder, transaction(holder):
        assert enter(client, password) == 303
    assert entries(config) == []


@pytest.mark.parametrize(
    "path",
    ["/health%09", "/health%0a", "/%68ealth", "/health%00", "/health%2f", "//health",
     "/x/../health", "/health\\", "/./health", "/health;x", "/health%c3%a4"],
)  # fmt: skip
def test_a_path_that_is_not_plain_is_refused(client: TestClient, password: str, path: str) -> None:
    for _ in range(2):  # signed out and signed in
        scope = raw(path)
        assert asyncio.run(status_of(client.app, scope, client.cookies.get(COOKIE))) == 400
        enter(client, password)


def raw(path: str) -> dict[str, object]:
    """Return a request as a server hands it on, byte by byte: a test client would tidy it up."""
    return {
        "type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "scheme": "http", "client": ("127.0.0.1", 1),
        "server": ("localhost", 8501), "http_version": "1.1",
    }  # fmt: skip


async def status_of(app: ASGIApp, scope: dict[str, object], cookie: str | None) -> int:
    told: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        told.append(message)

    headers = [(b"host", b"localhost:8501"), (b"accept", b"text/html")]
    if cookie:
        headers.append((b"cookie", f"{COOKIE}={cookie}".encode()))
    await app({**scope, "headers": headers}, receive, send)
    return int(told[0]["status"])


@pytest.mark.parametrize("path", ["/health", "/sign-in", "/panic", "/no-such"])
def test_a_websocket_beside_the_stream_is_refused_without_a_traceback(
    client: TestClient, password: str, path: str
) -> None:
    for _ in range(2):
        with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect(SOCKETS + path):
            pass
        assert closed.value.code == 1008
        enter(client, password)


@pytest.mark.parametrize(
    "origin", ["http://localhost:9000", "http://localhost", "http://evil.example", "null"]
)
def test_a_websocket_from_another_origin_is_refused(
    client: TestClient, password: str, origin: str
) -> None:
    enter(client, password)
    with (
        pytest.raises(WebSocketDisconnect) as closed,
        client.websocket_connect(SOCKETS + STREAM, headers={"origin": origin}),
    ):
        pass
    assert closed.value.code == 1008
    with client.websocket_connect(SOCKETS + STREAM, headers={"origin": HERE}) as socket:
        assert socket.receive_text() == "inside"


def test_a_post_from_another_port_of_this_host_is_refused(
    client: TestClient, password: str, config: Config
) -> None:
    enter(client, password)
    assert client.post("/panic", headers={"origin": "http://localhost:9000"}).status_code == 403
    assert read_latch(config.kill_path) is None


def test_a_host_that_is_not_ours_is_answered_nothing(client: TestClient, password: str) -> None:
    foreign = {"host": "evil.example:8501"}
    given = {"name": "operator", "password": password, "next": "/"}
    answer = client.post("/sign-in", data=given, headers=foreign)
    assert (answer.status_code, answer.headers.get("set-cookie")) == (400, None)
    assert "allowedHosts" in answer.text
    assert client.get("/health", headers=foreign).status_code == 400


def test_the_hosts_the_settings_of_the_server_allow_are_answered(client: TestClient) -> None:
    before = get_option("server.allowedHosts")
    set_option("server.allowedHosts", ["desk.example", "*.lan"])
    try:
        for name, status in {
            "desk.example": 200, "DESK.example:444": 200, "a.lan": 200, "localhost": 400,
            "lan": 400, "desk.example.evil": 400, "": 400, "x:y": 400, "a@desk.example": 400,
        }.items():  # fmt: skip
            assert client.get("/health", headers={"host": name}).status_code == status, name
    finally:
        set_option("server.allowedHosts", before)
