"""A watch under a moved clock: probes and conditions of a test's own, channels that write down."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.domain.effects import RaiseAlert, caution
from engine.watch import sealed
from engine.watch.channels import channels
from engine.watch.conditions import Condition
from engine.watch.desk import SECOND_NS, Desk, DeskPlace, Trouble
from engine.watch.messages import AlertMessage
from engine.watch.probes import Probe
from engine.watch.program import Watch
from engine.watch.send import Outcome, SendOrder, carry_out
from storage.alerts import raise_alert
from storage.channels import put_channel
from storage.database import transaction, writing
from storage.schema import migrate
from storage.settings import Saved, latest, save
from storage.users import ENGINE_ID

NOON_NS = 1_795_608_000 * SECOND_NS
"""2026-11-25 12:00:00 UTC."""
MINUTE = 60
HOUR = 3_600
WEBHOOK = {"url": "http://127.0.0.1:9/hook", "secret": "an-example-of-a-secret"}


class Scripted:
    """A probe whose findings a test sets."""

    every_s = 1.0

    def __init__(self) -> None:
        self.found: list[Trouble] = []

    def look(self, desk: Desk, now_ns: int) -> Iterable[Trouble]:
        del desk, now_ns
        return list(self.found)


class Recorder:
    """Carries nothing out: it keeps what left, and answers as a test says."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, AlertMessage]] = []
        self.answers: dict[str, Outcome] = {}
        self.lost = False
        """True = what leaves is never heard of again, as where the watch ends."""
        self._done: list[tuple[str, Outcome]] = []

    def room(self) -> int:
        return 3

    def start(self, name: str, order: SendOrder) -> bool:
        if order.message is None:
            self._done.append((name, carry_out(order)))
            return True
        self.sent.append((order.channel, order.message))
        if not self.lost:
            self._done.append((name, self.answers.get(order.channel, Outcome())))
        return True

    def finished(self) -> list[tuple[str, Outcome]]:
        done, self._done = self._done, []
        return done

    def stop(self) -> None:
        self._done.clear()

    def titles(self, channel: str | None = None) -> list[str]:
        return [one.title for name, one in self.sent if channel in (None, name)]


class Inline(Recorder):
    """Carries orders out in this process: real channels, a real sealed file."""

    def start(self, name: str, order: SendOrder) -> bool:
        self._done.append((name, carry_out(order)))
        if order.message is not None:
            self.sent.append((order.channel, order.message))
        return True


class Watched:
    """A home with a watch that turns when a test says so."""

    def __init__(
        self,
        home: Path,
        sends: Recorder | None = None,
        conditions: Mapping[str, Condition] | None = None,
        probes: Mapping[str, Probe] | None = None,
    ) -> None:
        home.mkdir(exist_ok=True)
        self.home = home
        self.state = home / "pitboss.db"
        if not self.state.exists():
            migrate(self.state)
        self.now_ns = NOON_NS
        self.sends = sends or Recorder()
        self.probe = Scripted()
        self._probes = {"scripted": self.probe} if probes is None else probes
        self._conditions = conditions or {}
        sealed.make_key(home)
        self.watch = self._made()

    def _made(self) -> Watch:
        place = DeskPlace(folder=str(self.home), state=str(self.state))
        # A new watch remembers nothing but what its log has.
        anew = {name: type(one)() for name, one in self._conditions.items()}
        return Watch(
            place, self.sends, self.now_ns,
            found_probes=self._probes, found_conditions=anew,
        )  # fmt: skip

    def again(self, after_s: float = 0, *, stopped: bool = False) -> None:
        """End the watch, killed unless `stopped`, and start another one later."""
        if stopped:
            self.watch.stop(self.now_ns)
        else:
            self.watch._log.close()
        self.now_ns += int(after_s * SECOND_NS)
        self.sends._done.clear()
        self.watch = self._made()

    def add_channel(self, name: str, kind: str = "webhook", **fields: str) -> None:
        """Seal a channel; its example's fields unless a test gives others."""
        given = {**channels()[kind].example, **(WEBHOOK if kind == "webhook" else {}), **fields}
        file = sealed.make_key(self.home)
        entry = sealed.seal(file, name, given, kind=kind, label=name, now_ns=self.now_ns)
        put_channel(self.home, name, entry)

    def settle(self, diff: Mapping[str, Any]) -> None:
        """Save a change of the alert settings."""
        with writing(self.state) as connection:
            base = latest(connection, ENGINE_ID).version
            saved = save(
                connection, engine_id=ENGINE_ID, who="t", diff={"alerts": diff},
                base_version=base, now_ns=self.now_ns,
            )  # fmt: skip
        assert isinstance(saved, Saved)

    def keep(self, alert: RaiseAlert) -> None:
        """Keep an alert of a core as the engine does."""
        with writing(self.state) as connection, transaction(connection):
            raise_alert(connection, ENGINE_ID, alert, None, self.now_ns)

    def raise_(self, kind: str, text: str = "it happened", count: int = 1, **place: Any) -> None:
        """Raise an alert as the engine does."""
        with writing(self.state) as connection, transaction(connection):
            for _ in range(count):
                alert = caution(kind, text, **place)
                raise_alert(connection, ENGINE_ID, alert, None, self.now_ns)

    def turn(self, seconds: float = 1, *, every: float = 1) -> None:
        """Turn on for so many seconds."""
        until_ns = self.now_ns + int(seconds * SECOND_NS)
        while self.now_ns < until_ns:
            self.now_ns = min(until_ns, self.now_ns + int(every * SECOND_NS))
            self.watch.turn(self.now_ns)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the delivery log, on the disk or in memory."""
        return self.watch._log.connection.execute(query).fetchall()


class Receiver:
    """A local server that keeps what it is posted, and answers as a test says."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.answer = b'{"ok": true, "sid": "x", "result": {"id": 1}, "status": 1}'
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _take(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.got.append((self.path, dict(self.headers), body))
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(receiver.answer)

            do_POST = do_GET = do_PUT = _take  # noqa: N815 the library's names

            def log_message(self, *_: object) -> None:
                """Be silent."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    made = Receiver()
    try:
        yield made
    finally:
        made.stop()
