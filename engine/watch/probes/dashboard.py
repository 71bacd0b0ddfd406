"""The dashboard, asked for its health as a browser would."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

from engine.watch.desk import SECOND_NS, Desk, Trouble

ANSWER_S = 10.0
FIRST_LOOK_NS = 60 * SECOND_NS
"""So much after its start, or that of the watch, a dashboard is up."""

HTTP_OK = 200


class DashboardProbe:
    """Asks `/health` each minute; a first refusal is asked again before it is reported."""

    every_s = 60.0

    def look(self, desk: Desk, now_ns: int) -> Iterator[Trouble]:
        """Give why the dashboard does not answer."""
        program = desk.program("dashboard")
        down = program is not None and program.state not in ("RUNNING", "STARTING")
        began_ns = max(desk.began_ns, program.start_s * SECOND_NS if program else 0)
        young = 0 <= now_ns - began_ns < FIRST_LOOK_NS  # later than now: the clock went back
        if desk.place.port is None or down or (young and not desk.stood("dashboard_silent")):
            return
        why = asked(desk.place.port) and asked(desk.place.port)
        if why:
            text = f"http://127.0.0.1:{desk.place.port}/health: {why}"
            yield Trouble(kind="dashboard_silent", text=text)


def asked(port: int, wait_s: float = ANSWER_S) -> str:
    """Return why it does not answer; empty = it does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=wait_s)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return "" if status == HTTP_OK else f"answered {status}"


PROBE = DashboardProbe
