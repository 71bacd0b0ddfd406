"""Every channel keeps its contract and delivers to a local stand-in; refusals are told."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.domain.alerts import Severity
from engine.errors import BadInput, StorageError
from engine.watch import sealed
from engine.watch.channels import Undelivered, channels
from engine.watch.channels.webhook import signature
from engine.watch.desk import DeskPlace
from engine.watch.messages import AlertMessage, message_of_test
from engine.watch.send import SendOrder, carry_out, parts_of, without
from engine.watch.sender import ChildSender, clean_environment
from storage import watch as log
from storage.channels import KEY_NAME, NAME, change_channel, put_channel, read_channels
from storage.watch import Reason
from tests.ports import free_port
from tests.watch.desks import Inline, Receiver, Watched
from tests.watch.mails import Mails, apprise, mail_fields, mailing

LINES_MAX = 120
KINDS = sorted(channels())
SECRET = "a-secret-that-nobody-may-see-7731"


def message(text: str = "it happened") -> AlertMessage:
    return AlertMessage(
        id="desk-1", reason=Reason.ALERT, severity=Severity.CRITICAL, title="[CRITICAL] KILL",
        lines=(), note=text,
    )  # fmt: skip


PLUGINS = {
    "discord": ("notify_url",), "pushover": ("notify_url",), "slack": ("webhook_url",),
    "sms": ("notify_sms_url",), "telegram": ("notify_url",), "ntfy": (),
}  # fmt: skip
SCHEMAS = {"pushover": "pover", "sms": "twilio", "telegram": "tgram"}


@pytest.fixture
def service(
    request: pytest.FixtureRequest, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, dict[str, str], Receiver]:
    """A channel whose service stands on this machine: the real library posts to it."""
    name = str(request.param)
    fields = dict(channels()[name].example)
    if name == "ntfy":
        fields["server"] = receiver.url
    elif name == "webhook":
        fields["url"] = f"{receiver.url}/hook"
    elif name == "dead_mans_switch":
        fields["url"] = f"{receiver.url}/ping"
    else:
        plugin = apprise.plugins.N_MGR[SCHEMAS.get(name, name)]
        receiver.answer = b"ok" if name == "slack" else receiver.answer
        for attribute in PLUGINS[name]:
            ends = "/Messages.json" if name == "sms" else ""
            monkeypatch.setattr(plugin, attribute, f"{receiver.url}/{name}{ends}")
    return name, fields, receiver


HTTP = sorted({*PLUGINS, "webhook", "dead_mans_switch"})


@pytest.mark.parametrize("service", HTTP, indirect=True)
def test_a_message_arrives_at_the_service(service: tuple[str, dict[str, str], Receiver]) -> None:
    name, fields, receiver = service
    channels()[name].deliver(fields, message("the engine is gone"))
    assert len(receiver.got) == 1
    body = receiver.got[0][2].decode()
    assert "the+engine+is+gone" in body or "the engine is gone" in body


@pytest.mark.parametrize("status", [401, 429, 500])
@pytest.mark.parametrize("service", HTTP, indirect=True)
def test_a_refusal_is_told_with_its_code(
    service: tuple[str, dict[str, str], Receiver], status: int
) -> None:
    name, fields, receiver = service
    receiver.status = status
    receiver.headers = {"Retry-After": "77"} if status == 429 else {}
    with pytest.raises(Undelivered) as refused:
        channels()[name].deliver(fields, message())
    assert refused.value.permanent is (status == 401)
    assert str(status) in str(refused.value)
    if name == "webhook" and status == 429:
        assert refused.value.retry_after_s == 77


@pytest.mark.parametrize("service", HTTP, indirect=True)
def test_a_service_that_is_not_there_is_told_and_may_be_tried_again(
    service: tuple[str, dict[str, str], Receiver],
) -> None:
    name, fields, receiver = service
    receiver.stop()
    with pytest.raises(Undelivered) as refused:
        channels()[name].deliver(fields, message())
    assert not refused.value.permanent
    assert str(refused.value)


def test_a_webhook_is_signed_and_its_attempts_are_one_delivery(receiver: Receiver) -> None:
    fields = {"url": receiver.url, "secret": SECRET}
    for _ in range(2):
        channels()["webhook"].deliver(fields, message())
    (_, first, body), (_, second, _) = receiver.got
    at_s = int(first["X-Pitboss-Signature"].split(",")[0].removeprefix("t="))
    assert first["X-Pitboss-Signature"] == signature(SECRET, at_s, body)
    assert first["X-Pitboss-Delivery"] == second["X-Pitboss-Delivery"] == "desk-1"


def test_the_dead_mans_switch_calls_start_success_and_fail(receiver: Receiver) -> None:
    deliver = channels()["dead_mans_switch"].deliver
    for said, method in (("start", "POST"), ("success", "GET"), ("fail", "POST")):
        given = AlertMessage(
            id=said, reason=Reason.TEST, severity=Severity.INFO, title="", lines=(), note="why"
        )
        deliver({"url": f"{receiver.url}/p?key=1", "method": method}, given)
    assert [path for path, _, _ in receiver.got] == ["/p/start?key=1", "/p?key=1", "/p/fail?key=1"]
    assert receiver.got[2][2] == b"why"


# -- E-mail ----------------------------------------------------------------------------------------


@pytest.fixture
def mails() -> Iterator[tuple[Mails, int]]:
    with mailing(SECRET) as made:
        yield made


def test_a_mail_arrives_at_each_recipient(mails: tuple[Mails, int]) -> None:
    handler, port = mails
    fields = mail_fields(port, user="desk", password=SECRET)
    channels()["email"].deliver(fields, message("the <b>engine</b> is gone"))
    assert sorted(one for who, _ in handler.got for one in who) == [
        "me@example.org", "partner@example.org",
    ]  # fmt: skip
    parsed = handler.got[0][1]
    assert parsed["Subject"] == "[CRITICAL] KILL"
    assert "the &lt;b&gt;engine" in parsed.get_body(("html",)).get_content()


def test_a_wrong_password_is_for_a_person_to_change(mails: tuple[Mails, int]) -> None:
    fields = mail_fields(mails[1], user="desk", password="wrong-password-1")
    with pytest.raises(Undelivered) as refused:
        channels()["email"].deliver(fields, message())
    assert refused.value.permanent, str(refused.value)


def test_a_server_that_is_not_there_may_be_tried_again() -> None:
    with pytest.raises(Undelivered) as refused:
        channels()["email"].deliver(mail_fields(free_port()), message())
    assert not refused.value.permanent


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[int]:
    """A TLS server whose certificate nobody trusts."""
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-out", "c"]
    done = subprocess.run(
        [*made, "-subj", "/CN=127.0.0.1", "-days", "2"], cwd=tmp_path, check=False,
        capture_output=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip("this machine makes no certificate: apt-get install openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c", tmp_path / "k")
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.05)
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            try:
                client, _ = listening.accept()
            except TimeoutError:
                continue
            client.settimeout(2)
            try:
                context.wrap_socket(client, server_side=True).close()
            except OSError:
                client.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield int(listening.getsockname()[1])
    ending.set()
    thread.join()
    listening.close()


@pytest.mark.long
@pytest.mark.parametrize("name", ["webhook", "ntfy", "email"])
def test_a_certificate_that_nobody_trusts_is_refused(name: str, impostor: int) -> None:
    fields = dict(channels()[name].example)
    fields |= {"url": f"https://127.0.0.1:{impostor}/x", "server": f"https://127.0.0.1:{impostor}"}
    if name == "email":
        fields = mail_fields(impostor, security="ssl")
    with pytest.raises(Undelivered) as refused:
        channels()[name].deliver({**fields}, message())
    assert str(refused.value)
    assert not refused.value.permanent, "it is tried again soon"


# -- Sealed ----------------------------------------------------------------------------------------


def test_what_is_sealed_opens_under_its_own_name_and_key_alone(tmp_path: Path) -> None:
    file = sealed.make_key(tmp_path)
    entry = sealed.seal(file, "hook", {"secret": SECRET}, kind="webhook", label="x", now_ns=1)
    put_channel(tmp_path, "hook", entry)
    put_channel(tmp_path, "other", entry)
    assert sealed.opened(tmp_path, "hook")[1] == {"secret": SECRET}
    with pytest.raises(BadInput, match="was not sealed"):
        sealed.opened(tmp_path, "other")
    assert (tmp_path / KEY_NAME).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert SECRET.encode() not in (tmp_path / NAME).read_bytes()
    (tmp_path / KEY_NAME).chmod(0o644)
    with pytest.raises(StorageError, match="chmod 600"):
        sealed.opened(tmp_path, "hook")
    (tmp_path / KEY_NAME).unlink()
    with pytest.raises(StorageError, match="is gone"):
        sealed.make_key(tmp_path)
    assert read_channels(tmp_path) is not None, "nothing was overwritten"


def test_a_channel_is_turned_off_and_removed(tmp_path: Path) -> None:
    file = sealed.make_key(tmp_path)
    entry = sealed.seal(file, "hook", {"secret": SECRET}, kind="webhook", label="x", now_ns=1)
    put_channel(tmp_path, "hook", entry)
    change_channel(tmp_path, "hook", on=False)
    found = read_channels(tmp_path)
    assert found is not None
    assert not found.entries["hook"].on
    change_channel(tmp_path, "hook", on=None)
    with pytest.raises(BadInput, match="no channel"):
        change_channel(tmp_path, "hook", on=True)
    with pytest.raises(BadInput, match="name takes"):
        put_channel(tmp_path, "No Such", entry)


def test_no_secret_stands_in_an_answer_a_log_or_a_file(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = apprise.plugins.N_MGR["tgram"]
    monkeypatch.setattr(plugin, "notify_url", f"{receiver.url}/bot")
    receiver.status = 500
    desk = Watched(tmp_path / "home", Inline())
    desk.add_channel("hook", url=f"{receiver.url}/{'x' * 10}", secret=SECRET)
    desk.add_channel(
        "bot", "telegram", token="123456789:AAUnseenUnseenUnseenUnseenUnseenUn", chat="1"
    )
    desk.raise_("kill")
    desk.turn(20)
    desk.watch.stop(desk.now_ns)
    assert receiver.got
    hidden = (SECRET, "AAUnseenUnseen")
    for path in desk.home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [one for one in hidden if one.encode() in data], path
    assert without(f"x {SECRET} y", [SECRET]) == "x [hidden] y"
    assert without("x a%20b y", ["a b"]) == "x a%20b y", "too short to be hidden safely"
    hook = "https://discord.com/api/webhooks/1/ExampleExampleExample"
    assert without("POST /api/webhooks/1/ExampleExampleExample", [hook]).endswith("/1/[hidden]")
    assert without("x abc%2Fd y", ["abc/d"]) == "x [hidden] y"


def test_the_programs_of_the_watch_get_no_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMARKET_PRIVATE_KEY", "0x1")
    monkeypatch.setenv("VAULT_PASSPHRASE", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    assert not {"POLYMARKET_PRIVATE_KEY", "VAULT_PASSPHRASE", "AWS_SECRET_ACCESS_KEY"} & set(
        clean_environment()
    )


# -- The programs ----------------------------------------------------------------------------------


@pytest.mark.long
def test_a_message_is_sent_by_a_program_of_its_own(tmp_path: Path, receiver: Receiver) -> None:
    file = sealed.make_key(tmp_path)
    fields = {"url": receiver.url, "secret": SECRET}
    put_channel(
        tmp_path, "hook", sealed.seal(file, "hook", fields, kind="webhook", label="x", now_ns=1)
    )
    sender = ChildSender()
    given = message_of_test("desk-9", "http://127.0.0.1:8501")
    assert sender.start("a", SendOrder(home=str(tmp_path), channel="hook", message=given))
    assert sender.start("b", SendOrder(home=str(tmp_path), channel="none", message=given))
    done = {}
    while len(done) < 2:
        done |= dict(sender.finished())
    assert done["a"].error == ""
    assert "no channel" in done["b"].error
    assert receiver.bodies()[0]["id"] == "desk-9"
    assert sender.room() == 3


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    seconds = iter((0.0, 61.0))
    sender = ChildSender(now_s=lambda: next(seconds))
    listening = socket.create_server(("127.0.0.1", 0))
    file = sealed.make_key(tmp_path)
    fields = {"url": f"http://127.0.0.1:{listening.getsockname()[1]}", "secret": SECRET}
    put_channel(
        tmp_path, "slow", sealed.seal(file, "slow", fields, kind="webhook", label="x", now_ns=1)
    )
    sender.start("a", SendOrder(home=str(tmp_path), channel="slow", message=message()))
    ((name, outcome),) = sender.finished()
    assert (name, outcome.error) == ("a", "no answer within 60 s")
    listening.close()


@pytest.mark.long
def test_a_call_of_the_dead_mans_switch_waits_for_no_channel_that_hangs(
    tmp_path: Path, receiver: Receiver
) -> None:
    sender, file = ChildSender(), sealed.make_key(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hangs = {"url": f"http://127.0.0.1:{silent.getsockname()[1]}", "secret": SECRET}
        calls = {"url": f"{receiver.url}/ping", "method": "POST"}
        for name, kind, fields in (
            ("slow", "webhook", hangs), ("outside", "dead_mans_switch", calls),
        ):  # fmt: skip
            put_channel(
                tmp_path, name,
                sealed.seal(file, name, fields, kind=kind, label="x", now_ns=1),
            )  # fmt: skip
        order = SendOrder(home=str(tmp_path), channel="slow", message=message())
        assert [sender.start(f"send {number}", order) for number in range(4)] == [True] * 3 + [
            False
        ]
        call = SendOrder(home=str(tmp_path), channel="outside", message=message())
        assert sender.start("ping", call)
        assert not sender.start("ping", call), "one at a time"
        assert sender.room() == 0
        end_s = time.monotonic() + 60
        while not (done := sender.finished()):
            assert time.monotonic() < end_s
            time.sleep(0.05)
        sender.stop()
    assert [(name, outcome.error) for name, outcome in done] == [("ping", "")]
    assert [path for path, _, _ in receiver.got] == ["/ping"]


@pytest.mark.parametrize("kind", ["webhook", "dead_mans_switch"])
@pytest.mark.parametrize(
    "echoed", ["/hooks/T0KEN-9f27aa1b?key=ab12cd34", "T0KEN-9f27aa1b ab12cd34"]
)
def test_an_address_that_a_server_echoes_stands_in_no_answer(
    tmp_path: Path, receiver: Receiver, kind: str, echoed: str
) -> None:
    fields = {"url": f"{receiver.url}/hooks/T0KEN-9f27aa1b?key=ab12cd34"}
    fields |= {"secret": SECRET} if kind == "webhook" else {"method": "GET"}
    file = sealed.make_key(tmp_path)
    put_channel(tmp_path, "one", sealed.seal(file, "one", fields, kind=kind, label="x", now_ns=1))
    receiver.status, receiver.answer = 404, f"nothing at {echoed}".encode()
    order = SendOrder(home=str(tmp_path), channel="one", message=message())
    error = carry_out(order).error
    assert "answered 404" in error
    receiver.stop()
    for said in (error, carry_out(order).error):
        assert "T0KEN" not in said
        assert "ab12cd34" not in said


def test_what_may_be_a_token_of_an_address() -> None:
    assert parts_of("an-example-of-a-secret") == parts_of("https://ntfy.sh/") == []
    found = parts_of("https://ann:pass@example.org/a/0b2f77aa-11?k=vvvv&l=v")
    assert "example.org" not in found
    assert {"0b2f77aa-11", "vvvv", "ann", "pass", "/a/0b2f77aa-11?k=vvvv&l=v"} <= set(found)


def test_without_a_network_at_boot_a_message_waits_and_arrives_once(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the host cannot be resolved until the network is there."""
    there, resolved = threading.Event(), socket.getaddrinfo

    def resolve(host: object, *rest: object, **named: object) -> object:
        if host not in (HOST, HOST.encode()):
            return resolved(host, *rest, **named)  # type: ignore[arg-type]
        if not there.is_set():
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolved("127.0.0.1", *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    desk = Watched(tmp_path / "home", Inline())
    desk.add_channel("phone", url=f"http://{HOST}:{receiver.port}/hook")
    desk.raise_("kill")
    desk.turn(30)
    assert receiver.got == []
    ((state, error),) = desk.rows("SELECT state, error FROM deliveries")
    assert (state, "name resolution" in error) == ("waiting", True)
    there.set()
    desk.turn(5 * 60, every=10)
    assert [body["title"] for body in receiver.bodies() if "KILL" in body["title"]] == [
        "[CRITICAL] KILL"
    ]
    assert len({headers["X-Pitboss-Delivery"] for _, headers, _ in receiver.got}) == len(
        receiver.got
    )
    desk.watch.stop(desk.now_ns)


HOST = "hooks.pitboss.invalid"
MEMORY_MB_MAX = 45.0


@pytest.mark.long
def test_the_running_watch_stays_below_45_mb(tmp_path: Path) -> None:
    desk = Watched(tmp_path / "home")
    desk.add_channel("phone")
    for number in range(30):
        desk.raise_("kill", "x" * 2_000, account=f"account{number}")
    desk.watch.stop(desk.now_ns)
    (desk.home / "run").mkdir(exist_ok=True)
    place = DeskPlace(folder=str(desk.home), state=str(desk.state))
    with subprocess.Popen(
        [sys.executable, "-m", "engine.watch", msgspec.json.encode(place).decode()],
        stderr=subprocess.DEVNULL,
    ) as program:
        try:
            end_s = time.monotonic() + 60
            while turns(desk.home) == turns(desk.home, wait_s=1.2):
                assert time.monotonic() < end_s
            status = Path(f"/proc/{program.pid}/status").read_text()
        finally:
            program.terminate()
    peak_mb = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    assert 10 < peak_mb < MEMORY_MB_MAX


def turns(home: Path, wait_s: float = 0) -> str | None:
    """Return what the watch of a home said of itself last, some seconds from now."""
    time.sleep(wait_s)
    with log.reading_watch(home) as connection:
        return log.meta(connection, "beat") if connection else None


HEAVY = {"pydantic", "apprise", "httpx", "requests", "cryptography", "sqlalchemy", "structlog"}


def test_the_watch_loads_nothing_heavy() -> None:
    text = (
        "import sys, engine.watch.__main__, engine.watch.program\n"
        "from engine.watch.channels import channels; channels()\n"
        "from engine.watch.probes import probes; probes()\n"
        "from engine.watch.conditions import conditions; conditions()\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & HEAVY


def test_an_order_for_nothing_makes_the_key(tmp_path: Path) -> None:
    outcome = carry_out(SendOrder(home=str(tmp_path)))
    assert outcome.error == ""
    assert len(outcome.ack_secret) == 32
    assert read_channels(tmp_path) is not None
    assert asyncio.iscoroutinefunction(Mails.handle_DATA)
