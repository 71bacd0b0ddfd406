"""The page: one file with everything in it, that needs no network and no program but a browser."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import msgspec

from engine.domain.plain import PlainDict
from engine.lab.incident.run import Incident
from engine.log import iso
from engine.redaction import Redactor

TEMPLATE = Path(__file__).with_name("page.html")
PLACE = "/*DATA*/"
US = 1_000


def summary(found: Incident) -> PlainDict:
    """Return what the page says, without the steps and without secrets."""
    compared = found.compared
    kinds: dict[str, int] = {}
    for step in found.steps:
        kinds[step["k"]] = kinds.get(step["k"], 0) + 1
    fields = {
        "at": iso(found.window.at_ns),
        "from": iso(found.window.begin_ns),
        "until": iso(found.window.end_ns),
        "accounts": found.accounts,
        "steps": len(found.steps),
        "kinds": kinds,
        "lived_again": compared.again,
        "same": None if not compared.again else compared.difference is None,
        "lives": compared.lives,
        "effects": compared.effects,
        "decisions": compared.evaluations,
        "decision_rows": compared.decisions,
        "plans": compared.plans,
        "difference": msgspec.to_builtins(compared.difference),
        "told": compared.sentence(),
        "notes": compared.notes,
    }
    clean: Any = Redactor().value(fields)
    return dict(clean)


def data(found: Incident) -> PlainDict:
    """Return what the page shows, without secrets."""
    window, compared = found.window, found.compared
    verdict = "none"
    if compared.difference is not None:
        verdict = "bad"
    elif compared.again:
        verdict = "good"
    fields = {
        "at": iso(window.at_ns),
        "around": f"{iso(window.begin_ns)} to {iso(window.end_ns)}",
        "who": found.account or "all accounts",
        "modes": sorted(set(found.accounts.values())),
        "begin_us": window.begin_ns // US,
        "moment_us": (window.at_ns - window.begin_ns) // US,
        "span_us": (window.end_ns - window.begin_ns) // US,
        "verdict": verdict,
        "told": compared.sentence(),
        "notes": compared.notes,
        "steps": found.steps,
    }
    clean: Any = Redactor().value(fields)
    return dict(clean)


def html(found: Incident) -> str:
    """Return the page. Its data are gzip in base64: a tenth, and no text in it can end a script."""
    text = json.dumps(data(found), ensure_ascii=False, separators=(",", ":"))
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return TEMPLATE.read_text(encoding="utf-8").replace(PLACE, packed, 1)


def write(found: Incident, target: Path) -> int:
    """Write the page whole or not at all; give its bytes. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        unfinished.write_text(html(found), encoding="utf-8")
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return target.stat().st_size
