"""Words that make two runs differ, hide an error, or leave work undone: where each may stand."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.trees import parsed

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDERS = ("engine", "storage", "pages")

# A word is banned everywhere but under the paths beside it; each path carries its reason.
CLOCK_MAY = {
    "engine/clock.py": "it is the clock",
    "engine/live/main.py": "hands the clock to the cores",
    "engine/runtime/account_runner.py": "hands the clock to the cores",
    "engine/__main__.py": "a command is told when it was given",
    "engine/cli/doctor.py": "compares the machine's clocks",
    "engine/cli/status.py": "tells ages",
    "engine/log.py": "a log line is stamped when nobody gives it a time",
    "engine/gateway/sender.py": "time-outs of real requests",
    "engine/feeds": "stamps a frame when it is received",
    "engine/lab/replay/setup.py": "stamps when a run was started",
    "engine/jobs": "a schedule is about the time of day",
    "pages/kit/home.py": "pages tell ages",
    "engine/watch": "tells ages of programs; its turns are given the time",
}
STOPWATCH_MAY = {
    "engine/live/kill.py": "looks from beside the loop are so far apart",
    **CLOCK_MAY,
    "engine/lab": "tells how long a run took; no decision reads it",
    "engine/cli/simulate.py": "tells how long a run took; no decision reads it",
    "engine/cli/worker.py": "gives a child as long as it was told",
    "engine/cli/waiting.py": "waits no longer than asked",
    "engine/locks.py": "waits for a lock no longer than asked",
    "storage/upkeep.py": "gives up a rewrite that keeps others waiting",
    "storage/journal_writer.py": "waits for a thread no longer than its patience",
}
CHANCE_MAY = {
    "engine/live/main.py": "draws the seed of a live session",
    "engine/cli/command.py": "a command's id is made by whoever leaves it",
    "storage/commands.py": "a command's id is made where the command is written",
    "storage/users.py": "draws a password",
    "engine/runtime/observations.py": "draws the token of the webhook",
    "engine/live/vault.py": "draws salts and nonces",
    "pages/kit/commands.py": "makes a command's id",
    "pages/frame/kill.py": "makes a command's id",
    "pages/frame/session.py": "draws the secret that signs cookies",
}
BANNED = {
    "time.time": CLOCK_MAY,
    "time.time_ns": CLOCK_MAY,
    "datetime.datetime.now": CLOCK_MAY,
    "datetime.datetime.utcnow": CLOCK_MAY,
    "datetime.datetime.today": CLOCK_MAY,
    "datetime.date.today": CLOCK_MAY,
    "time.monotonic": STOPWATCH_MAY,
    "time.monotonic_ns": STOPWATCH_MAY,
    "time.perf_counter": STOPWATCH_MAY,
    "time.perf_counter_ns": STOPWATCH_MAY,
    "time.process_time": STOPWATCH_MAY,
    "uuid": CHANCE_MAY,
    "secrets": CHANCE_MAY,
    "os.urandom": CHANCE_MAY,
    "random": CHANCE_MAY,
    "numpy.random": CHANCE_MAY,
}
SEEDED = frozenset({"random.Random", "numpy.random.Generator", "numpy.random.default_rng"})
"""Generators with a seed of their own are the lawful form of chance."""

BROAD_EXCEPT_MAY = {
    "engine/live/main.py": "journal the crash, then exit",
    "engine/__main__.py": "an error without a name still ends with one sentence and its exit code",
    "engine/plugins.py": "whatever is wrong with a plug-in's file, everything else works",
    "engine/contracts": "whatever a thing raises is what is wrong with it",
    "engine/cli/kill.py": "KILL goes on whatever a source fails with, and names it",
    "engine/live/kill_bare.py": (
        "KILL goes on whatever a source or a venue fails with, and names it"
    ),
    "engine/live/credentials.py": "KILL goes on whatever a source fails with, and names it",
    "storage/known_accounts.py": "KILL goes on whatever a source fails with, and names it",
    "engine/runtime/aids.py": "what is kept beside trading ends nothing, whatever it fails with",
    "engine/bots/core.py": "a bot that raises goes to ERROR alone",
    "engine/bots/asked.py": "a bot that raises goes to ERROR alone",
    "engine/lab/simulate/process.py": (
        "a loop hands whatever a call raises to its handler, as those of asyncio do"
    ),
    "engine/live/lifecycle.py": (
        "each part is closed whatever became of the one before it; then raised"
    ),
    "engine/runtime/state_writer.py": "a thread that dies of anything ends the engine",
    "engine/gateway/sender.py": "whatever a venue did not name = OutcomeUnknown",
    "pages/kit/guard.py": "each part of a page fails for itself; the log has the traceback",
    "engine/watch/program.py": "a part of the watch that fails is told, the others go on",
    "engine/venues": "the one sending function: unnamed after the bytes have left = OutcomeUnknown",
}
DECIDING = (
    "engine/domain",
    "engine/caches",
    "engine/indicators",
    "engine/strategies",
    "engine/risk",
    "engine/executor",
    "engine/bots",
    "engine/gateway",
    "engine/venues/paper",
    "engine/venues/demo",
)
"""Rooms whose order of doing things decides: nothing waits in them, nothing iterates a set."""

WAITING_MAY = (
    "engine/venues/demo/plugin.py",
    "engine/venues/demo/streams.py",
    "engine/venues/paper/plugin.py",
    "engine/venues/paper/runner.py",
    "engine/gateway/sender.py",
    "engine/gateway/sender.py",
    "engine/venues/demo/host.py",
    "engine/venues/demo/server.py",
    "engine/venues/demo/client.py",
)
"""They do what their core decided; the order of their tasks is the network's."""

UNDONE = re.compile(r"\b(TODO|FIX(?:ME)|XXX|HACK)\b")

Finding = tuple[int, str]


def under(name: str, places: dict[str, str] | tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(place + "/") for place in places)


def aliases(nodes: list[ast.AST]) -> dict[str, str]:
    """Return local name → dotted origin of everything imported in the file."""
    names = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """Return the dotted origin of `a.b.c`, or '' where it does not start at an import."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute):
        base = dotted(node.value, names)
        return f"{base}.{node.attr}" if base else ""
    return ""


def banned_words(name: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    names = aliases(nodes)
    for node in nodes:
        origin = dotted(node, names)
        if not origin:
            continue
        for word, places in BANNED.items():
            whole_module = "." not in word or word == "numpy.random"
            hit = origin.startswith(word + ".") if whole_module else origin == word
            if hit and not under(name, places) and not origin.startswith(tuple(SEEDED)):
                yield node.lineno, f"{origin}: time and chance are arguments, never asked for here"


def broad_excepts(name: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    for node in nodes:
        if not isinstance(node, ast.ExceptHandler):
            continue
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        broad = any(
            kind is None
            or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
            for kind in kinds
        )
        # Undoing and raising again hides nothing.
        last = node.body[-1]
        again = isinstance(last, ast.Raise) and last.exc is None
        if broad and not again and not under(name, BROAD_EXCEPT_MAY):
            yield node.lineno, "except Exception: name what you expect, let the rest crash"


def waits(name: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    if under(name, WAITING_MAY):
        return
    for node in nodes:
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            if not _of_protocol(nodes, node):
                yield node.lineno, "await: nothing waits inside; time arrives with each message"
        elif isinstance(node, ast.Call) and _name(node) in {"open", "print", "input"}:
            yield node.lineno, f"{_name(node)}(): nothing inside does I/O"


def _of_protocol(nodes: list[ast.AST], function: ast.AST) -> bool:
    """Say whether the function only describes a door."""
    for node in nodes:
        if isinstance(node, ast.ClassDef) and function in node.body:
            return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)
    return False


def set_loops(name: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    """Give the places where the order of a set, which differs from run to run, would be used."""
    if under(name, WAITING_MAY):
        return
    known = _known_sets(nodes)
    ordered = {"list", "tuple", "iter", "next", "enumerate", "zip", "map", "filter", "reversed"}
    for node in nodes:
        looped: list[ast.expr] = []
        if isinstance(node, ast.For | ast.comprehension):
            looped = [node.iter]
        elif isinstance(node, ast.Call) and _name(node) in ordered:
            looped = list(node.args)
        elif isinstance(node, ast.Call) and _pops_any(node):
            looped = [node.func.value]
        for expression in looped:
            if _is_set(expression) or (known and ast.unparse(expression) in known):
                yield (
                    expression.lineno,
                    f"{ast.unparse(expression)} is a set: its order is chance, sort it first",
                )


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _pops_any(call: ast.Call) -> bool:
    """Say whether this is `x.pop()`, which takes from a set whichever comes first."""
    return isinstance(call.func, ast.Attribute) and call.func.attr == "pop" and not call.args


def _is_set(node: ast.AST | None) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    return isinstance(node, ast.Call) and _name(node) in {"set", "frozenset"}


def _known_sets(nodes: list[ast.AST]) -> set[str]:
    """Return the names and attributes that this file declares or assigns as sets."""
    known = set()
    for node in nodes:
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            kind = node.annotation
            head = kind.value if isinstance(kind, ast.Subscript) else kind
            if isinstance(head, ast.Name) and head.id in {"set", "frozenset", "Set", "AbstractSet"}:
                known.add(node.arg if isinstance(node, ast.arg) else ast.unparse(node.target))
        elif isinstance(node, ast.Assign) and _is_set(node.value):
            known.update(ast.unparse(target) for target in node.targets)
    return known


def undone(text: str) -> Iterator[Finding]:
    if not UNDONE.search(text):
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and UNDONE.search(token.string):
            yield token.start[0], "a comment that leaves work undone: do it or leave it out"


MODULES = "|".join(sorted({word.partition(".")[0] for word in BANNED}))
LAWS = {
    banned_words: re.compile(rf"^\s*(from|import)\b.*\b({MODULES})\b", re.MULTILINE),
    broad_excepts: re.compile(r"\bexcept\b\s*(:|.*\b(Base)?Exception\b|\($)", re.MULTILINE),
    waits: re.compile(r"\b(async|await|open|print|input)\b"),
    set_loops: re.compile(r"\bpop\b|\b\w*[Ss]et\b|\{"),
}
"""Each law, and what stands in every source of which it has anything to say: others are not read
by it."""
DECIDING_LAWS = (waits, set_loops)


def findings(root: Path) -> list[str]:
    """Return `file:line: sentence` for everything banned."""
    found = []
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*.py")):
            name = file.relative_to(root).as_posix()
            text = file.read_text(encoding="utf-8")
            nodes: list[ast.AST] = []
            every = {*undone(text)}
            for law, spelled in LAWS.items():
                if law in DECIDING_LAWS and not under(name, DECIDING):
                    continue
                if spelled.search(text):
                    nodes = nodes or list(ast.walk(parsed(text)))
                    every.update(law(name, nodes))
            found += [f"{name}:{line}: {sentence}" for line, sentence in sorted(every)]
    return found


def test_nothing_banned_stands_in_the_sources() -> None:
    found = findings(REPOSITORY)
    assert not found, "\n" + "\n".join(found)


PLANTED = [
    ("engine/risk/x.py", "import time as t\nnow = t.time()", 2, "time.time: "),
    ("engine/lab/x.py", "from time import time\nf = time", 2, "time.time: "),
    ("engine/executor/x.py", "from time import perf_counter as pc\npc()", 2, "time.perf_counter"),
    ("engine/risk/x.py", "import datetime\ndatetime.datetime.now()", 2, "datetime.datetime.now"),
    ("storage/x.py", "from datetime import datetime as d\nd.now()", 2, "datetime.datetime.now"),
    ("engine/lab/x.py", "from uuid import uuid4\nuuid4()", 2, "uuid.uuid4"),
    ("engine/lab/x.py", "import random\nrandom.shuffle([])", 2, "random.shuffle"),
    ("engine/lab/x.py", "import numpy as np\nnp.random.rand()", 2, "numpy.random.rand"),
    ("engine/risk/x.py", "try:\n    f()\nexcept Exception:\n    pass", 3, "except Exception"),
    ("storage/x.py", "try:\n    f()\nexcept:\n    pass", 3, "except Exception"),
    ("pages/x.py", "try:\n    f()\nexcept (OSError, Exception) as e:\n    g(e)", 3, "except Ex"),
    ("engine/executor/x.py", "async def f(): ...", 1, "await: "),
    ("engine/caches/x.py", "def f():\n    print(1)", 2, "print(): "),
    ("engine/risk/x.py", "for x in {1, 2}:\n    pass", 1, "{1, 2} is a set"),
    ("engine/risk/x.py", "def f(a: set[str]):\n    return [x for x in a]", 2, "a is a set"),
    ("engine/risk/x.py", "self.late: set[int] = set()\nlist(self.late)", 2, "self.late is a set"),
    ("engine/executor/x.py", "late = {1}\nlate.pop()", 2, "late is a set"),
    ("storage/x.py", "a = 1  # HACK: later", 1, "leaves work undone"),
]


@pytest.mark.parametrize(("name", "text", "line", "sentence"), PLANTED)
def test_planted_word_is_found(
    name: str, text: str, line: int, sentence: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    found = findings(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(f"{name}:{line}: ")
    assert sentence in found[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("engine/lab/x.py", "import random, time\nrandom.Random(1).random()\ntime.perf_counter()"),
        ("engine/clock.py", "import time\ntime.time_ns()"),
        ("engine/risk/x.py", "late: set[int] = set()\nfor x in sorted(late):\n    pass\n1 in late"),
        ("storage/x.py", "try:\n    f()\nexcept BaseException:\n    undo()\n    raise"),
        ("engine/bots/core.py", "try:\n    f()\nexcept Exception:\n    stop()"),
        ("engine/executor/x.py", "time = order\ntime.time = 2"),
        ("engine/venues/demo/x.py", "from random import Random\nRandom(1)"),
    ],
)
def test_lawful_word_is_left_alone(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    assert findings(tmp_path) == []


def test_every_exception_to_the_ban_carries_its_reason() -> None:
    for places in (*BANNED.values(), BROAD_EXCEPT_MAY):
        assert all(reason for reason in places.values())
