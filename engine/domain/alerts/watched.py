"""Kinds of alert that `engine.watch` raises: of the desk's programs, the machine, and the channels.

They need no engine, no database and no dashboard.
"""

from __future__ import annotations

from engine.domain.alerts import AlertGroup, AlertKind, Repeat, Sent, Severity

CRITICAL, WARNING, INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO
PROGRAMS, MACHINE, PLACE = AlertGroup.PROGRAMS, AlertGroup.MACHINE, Repeat.PLACE

_LOG = "Read the end of log/engine.log; KILL works without an engine: `engine kill`."

ROWS = (
    AlertKind("engine_dead", "The engine is not running", _LOG, CRITICAL, PROGRAMS, "overview",
              PLACE),
    AlertKind("engine_hung", "The engine does not answer", _LOG, CRITICAL, PROGRAMS, "overview",
              PLACE),
    AlertKind("engine_restarting", "The engine restarts again and again", _LOG, CRITICAL, PROGRAMS,
              "overview", PLACE),
    AlertKind("engine_not_started", "The engine did not start after a reboot",
              "Start the desk; read log/engine.log.", CRITICAL, PROGRAMS, "overview", PLACE),
    AlertKind("engine_stopped", "The engine was stopped",
              "Nothing, if you stopped it. What its stop has proved stands on the page Engine.",
              WARNING, PROGRAMS, "engine", PLACE, Sent.AT_ONCE),
    AlertKind("desk_gone", "The desk's supervisor has ended",
              "Nothing restarts the programs now: start the desk again, and look at the venue for "
              "open orders.", CRITICAL, PROGRAMS, "overview", PLACE),
    AlertKind("worker_down", "The worker is not running", "Read the end of log/worker.log.",
              WARNING, PROGRAMS, "jobs", PLACE, Sent.AT_ONCE),
    AlertKind("dashboard_down", "The dashboard is not running",
              "Read the end of log/dashboard.log. KILL without it: `engine kill`.", WARNING,
              PROGRAMS, "overview", PLACE, Sent.AT_ONCE),
    AlertKind("dashboard_silent", "The dashboard does not answer",
              "Restart it by supervisor. KILL without it: `engine kill`.", WARNING, PROGRAMS,
              "overview", PLACE, Sent.AT_ONCE),
    AlertKind("demo_down", "The demo exchange is not running", "Read the end of log/demo.log.",
              WARNING, PROGRAMS, "overview", PLACE),
    AlertKind("watch_restarted", "The watch had been ended",
              "Alerts of that time were sent late; read the end of log/watch.log.", WARNING,
              PROGRAMS, "alerts", Repeat.WORDS, Sent.AT_ONCE),
    AlertKind("state_locked", "The state database is locked",
              "Close the program that holds the lock; nothing new is seen meanwhile.", CRITICAL,
              PROGRAMS, "alerts", PLACE),
    AlertKind("state_unreadable", "The state database cannot be read",
              "Stop the programs and restore it as docs/recovery.md says.", CRITICAL, PROGRAMS,
              "alerts", PLACE),
    AlertKind("state_missing", "The state database is gone",
              "Put the file back, or stop the programs and restore it as docs/recovery.md says.",
              CRITICAL, PROGRAMS, "alerts", PLACE),
    AlertKind("watch_log", "The delivery log is not written",
              "Make room on the disk. Alerts are still sent; what was sent is kept in memory.",
              WARNING, PROGRAMS, "alerts", PLACE, Sent.AT_ONCE),
    AlertKind("watch_part", "A part of the watch failed",
              "Report it as a bug; log/watch.log has its reason. The other parts go on.",
              WARNING, PROGRAMS, "alerts", PLACE, Sent.AT_ONCE),
    AlertKind("alert_settings", "The alert settings cannot be read",
              "Save the rules again by `engine alerts rule`; the last readable ones apply.",
              WARNING, PROGRAMS, "alerts", PLACE, Sent.AT_ONCE),
    AlertKind("channel_failing", "A channel does not deliver",
              "Send a test by `engine alerts test` and read its error.", WARNING,
              PROGRAMS, "alerts", PLACE, Sent.AT_ONCE),
    AlertKind("ping_failing", "The dead man's switch is not reached",
              "Look at this machine's network, then at the address of the channel.", WARNING,
              PROGRAMS, "alerts", PLACE, Sent.AT_ONCE),
    AlertKind("clock_jump", "The machine's clock jumped",
              "Turn time synchronisation on; a laptop that slept is one cause.", WARNING, MACHINE,
              "alerts", PLACE, Sent.AT_ONCE),
    AlertKind("disk_full", "The disk is full", "Make room on it now: the desk cannot write.",
              CRITICAL, MACHINE, "jobs", PLACE),
    AlertKind("memory", "Too little memory is free",
              "Close other programs, or stop a long job.", WARNING, MACHINE, "jobs", PLACE,
              Sent.AT_ONCE),
)  # fmt: skip
"""What each is raised by stands in `engine/watch/probes`."""
