"""What is installed: the one way in which a thing that a file adds is found.

A kind of thing lies in one folder of the product (`engine/strategies`) and in the folder of the
same kind of every plug-in (`plugins/NAME/strategies`). A plug-in is a folder in `plugins` beside
the program, a folder in a folder of PITBOSS_PLUGINS, or a package that an installed distribution
names as an entry point `pitboss.plugins`. A file names what it holds: `strategies/pinger.py` is the
strategy `pinger`. The module of a plug-in's file is `plugins.NAME.KIND.FILE`.

A file of the product that cannot be imported raises. One of a plug-in is left out and kept in
`problems`, with its line: the others work. Only the standard library is imported here.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from engine.errors import BrokenInvariant, PitbossError, PluginFailed
from engine.in_time import IMPORT_S, in_time

KINDS = {
    "venue": "plugin",
    "strategies": "strategy",
    "indicators": "",
    "pages": "page",
    "jobs": "",
    "commands": "",
    "alerts": "",
    "channels": "",
    "projected": "",
    "verbs": "",
    "formats": "",
}
"""Every kind by the name of its folder in a plug-in, with the file that counts where a thing is a
folder (`strategies/NAME/strategy.py`); empty = a thing of this kind is one file. A plug-in has one
venue, `venue/plugin.py`, which has the plug-in's name."""

PACKAGE = "plugins"
"""Below it the modules of plug-ins are imported."""

ENTRY_POINTS = "pitboss.plugins"
FOLDER = Path(__file__).resolve().parents[1] / PACKAGE
FOLDERS_KEY = "PITBOSS_PLUGINS"
HOME_KEY = "PITBOSS_HOME"
HOME = "var"
OFF_FILE = "plugins.off"
"""In the home: the names of the plug-ins that are switched off, one a line."""

NAME = re.compile(r"[a-z][a-z0-9_]*")
NAME_RULE = "a name is small letters, digits and _, and begins with a letter"
ALIKE = 0.75
"""How alike the name of a folder must be to a kind's to count as misspelt."""

DIGEST_DIGITS = 12
EVERYWHERE = ("alerts", "commands", "jobs")
"""Kinds whose files every program imports, before most of the product is there."""

ON_TOP = "; a file of this kind imports of the product engine.domain alone on top"


class Problem(NamedTuple):
    """Why something of a plug-in cannot be used."""

    plugin: str
    """Its name; empty = a file of the product."""
    file: Path
    line: int
    """0 = the whole file."""
    text: str

    @property
    def sentence(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return (
            f"plug-in {self.plugin}: {place}: {self.text}"
            if self.plugin
            else f"{place}: {self.text}"
        )


class Plugin(NamedTuple):
    """One installed plug-in, as its folder says; nothing of it is imported."""

    name: str
    folder: Path
    package: str
    """The dotted name of its folder."""
    version: str
    """`__version__` of its `__init__.py`, or the distribution's; empty = neither says one."""
    about: str
    """First line of the docstring of its `__init__.py`."""
    off: bool
    """Switched off by its name."""

    def files(self, kind: str) -> dict[str, Path]:
        """Return the files of a kind by the name of what each holds, in alphabetical order."""
        folder = self.folder / kind
        if kind == "venue":
            file = folder / f"{KINDS[kind]}.py"
            return {self.name: file} if file.is_file() else {}
        return _files(kind, folder)

    @property
    def brings(self) -> dict[str, list[str]]:
        """The names of what it holds, by kind."""
        held = {kind: list(self.files(kind)) for kind in KINDS}
        return {kind: names for kind, names in held.items() if names}

    @property
    def digest(self) -> str:
        """What its files hold, as 12 digits of a SHA-256 over their names and bytes."""
        total = hashlib.sha256()
        for file in sorted(self.folder.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                name = file.relative_to(self.folder).as_posix().encode()
                total.update(b"%d %s %d " % (len(name), name, file.stat().st_size))
                total.update(file.read_bytes())
        return total.hexdigest()[:DIGEST_DIGITS]


def without_docs(source: bytes) -> bytes:
    """Return Python code as its syntax tree says it, without comments, docstrings and layout.

    What stays decides what the code does. Raises SyntaxError for what is no Python.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [one for one in body if not _is_text(one)]
    return ast.dump(tree).encode()


def _is_text(node: ast.stmt) -> bool:
    """Say whether a statement is a text that stands alone."""
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


class Found(NamedTuple):
    """A file of a kind, imported."""

    name: str
    """Of what it holds: the file's, or its folder's."""
    module: ModuleType
    file: Path
    plugin: str
    """Empty = the product's own."""

    def defined(self, base: type[Any]) -> list[type[Any]]:
        """Return the subclasses of `base` that the file itself defines, in their order."""
        return [
            one
            for one in vars(self.module).values()
            if isinstance(one, type)
            and issubclass(one, base)
            and one is not base
            and one.__module__ == self.module.__name__
        ]

    def tried(self, step: Callable[[], object]) -> str:
        """Do something with what the file holds; return what it raised, empty = nothing.

        A plug-in's is interrupted where it takes too long.
        """
        try:
            in_time(step, f"what {self.name} declares") if self.plugin else step()
        except (Exception, SystemExit) as error:  # noqa: BLE001 whatever is wrong, the others work
            return _said(error)
        return ""

    def guarded(
        self, call: Callable[..., Any], *through: type[BaseException]
    ) -> Callable[..., Any]:
        """Return a function of the file, with a named error for what it does not name itself.

        It raises PluginFailed, PitbossError, OSError and what goes `through` as it is.
        """
        named: tuple[type[BaseException], ...] = (PitbossError, OSError, *through)

        def run(*given: Any) -> Any:
            try:
                return call(*given)
            except named:
                raise
            except (Exception, SystemExit) as error:
                place, line = place_of(error, self.file.parent)
                text = f"plug-in {self.plugin}: {place or self.file}:{line}: {_said(error)}"
                raise PluginFailed(text) from error

        return run

    def refuse(self, text: str, of: object = None) -> None:
        """Leave out what a plug-in's file holds, for a reason; `of` is the thing, for its line.

        Raises BrokenInvariant for a file of the product.
        """
        if not self.plugin:
            raise BrokenInvariant(f"{self.file}: {text}")
        _keep(Problem(self.plugin, self.file, _line_of(of), text))


_problems: dict[Problem, None] = {}


def _keep(problem: Problem) -> None:
    _problems[problem] = None


def problems() -> list[Problem]:
    """Return what is wrong with the plug-ins, as far as this process has looked at them."""
    installed()
    return list(_problems)


def forget() -> None:
    """Look anew at the next question: for programs that add files while they run."""
    _problems.clear()
    _of_file.cache_clear()
    installed.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
    importlib.invalidate_caches()


def look_again(plugin: str = "") -> None:
    """Look anew for plug-ins and their strategies at the next question.

    Files that are imported stay what they were; those of `plugin` are imported anew.
    """
    for problem in [one for one in _problems if "strategies" in one.file.parts]:
        del _problems[problem]
    installed.cache_clear()
    package = next((one.package for one in installed() if one.name == plugin), "")
    for name in [name for name in sys.modules if package and f"{name}.".startswith(f"{package}.")]:
        del sys.modules[name]
    importlib.invalidate_caches()


# -- what is installed -----------------------------------------------------------------------------


def folders() -> list[Path]:
    """Return where plug-ins lie: beside the program, and where the configuration says."""
    given = [_place(one) for one in _setting(FOLDERS_KEY).split(os.pathsep) if one]
    return [FOLDER, *given]


def off_file() -> Path:
    """Return the file that names what is switched off."""
    return _place(_setting(HOME_KEY) or HOME) / OFF_FILE


def _place(text: str) -> Path:
    """Return where a path leads; `~` of a user who is not known stays, for `load` to refuse."""
    return Path(os.path.expanduser(text)).absolute()  # noqa: PTH111 Path's raises for that user


@cache
def installed() -> tuple[Plugin, ...]:
    """Return every plug-in, switched off or not, in the order of the folders and of names.

    Where two have one name, the first counts.
    """
    off = switched_off()
    made: dict[str, Plugin] = {}
    for plugin in (*_in_folders(off), *_of_distributions(off)):
        if NAME.fullmatch(plugin.name) is None:
            _keep(Problem(plugin.name, plugin.folder, 0, f"rename the folder: {NAME_RULE}"))
        elif plugin.name in made:
            text = f"there is a plug-in of this name already, in {made[plugin.name].folder}"
            _keep(Problem(plugin.name, plugin.folder, 0, text))
        else:
            made[plugin.name] = plugin
            _look_for_slips(plugin)
    package = sys.modules.setdefault(PACKAGE, ModuleType(PACKAGE))
    package.__path__ = [str(folder) for folder in folders()]
    return tuple(made.values())


def switched_off() -> frozenset[str]:
    """Return the names of the plug-ins that are switched off."""
    try:
        text = off_file().read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    return frozenset(text.split())


def venue_names() -> list[str]:
    """Return the name of every venue, of the product and of plug-ins; nothing is imported."""
    rooms = FOLDER.parent.glob("engine/venues/*/plugin.py")
    named = [plugin.name for plugin in installed() if plugin.files("venue")]
    return sorted([*(file.parent.name for file in rooms), *named])


def why_missing(kind: str, name: str) -> str:
    """Return why a thing that a plug-in brings is not there, as a sentence; empty = none has it."""
    for plugin in installed():
        file = plugin.files(kind).get(name)
        if file is None:
            continue
        if plugin.off:
            return (
                f"the plug-in {plugin.name} that brings {name!r} is switched off: run `python -m "
                f"engine plugins on {plugin.name}` and start again"
            )
        for problem in problems():
            if problem.plugin == plugin.name and problem.file in (file, plugin.folder):
                return problem.sentence
    return ""


def _in_folders(off: frozenset[str]) -> Iterator[Plugin]:
    for folder in folders():
        for place in sorted(folder.glob("*/")):
            if place.name.startswith(("_", ".")):
                continue
            version, about = _described(place)
            package = f"{PACKAGE}.{place.name}"
            yield Plugin(place.name, place, package, version, about, place.name in off)


def _of_distributions(off: frozenset[str]) -> Iterator[Plugin]:
    for point in metadata.entry_points(group=ENTRY_POINTS):
        try:
            spec = importlib.util.find_spec(point.value)
        except Exception as error:  # noqa: BLE001 whatever is wrong with it, the others work
            _keep(Problem(point.name, Path(point.value), 0, _said(error)))
            continue
        places = spec.submodule_search_locations if spec is not None else None
        if not places:
            text = f"the entry point names {point.value!r}, which is no package"
            _keep(Problem(point.name, Path(point.value), 0, text))
            continue
        folder = Path(next(iter(places)))
        version, about = _described(folder)
        given = point.dist.version if point.dist is not None else version
        yield Plugin(point.name, folder, point.value, given, about, point.name in off)


def _described(folder: Path) -> tuple[str, str]:
    """Return version and first line of a plug-in's `__init__.py`, which is read, not run."""
    try:
        tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return "", ""
    version = ""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            version = str(getattr(node.value, "value", ""))
    return version, (ast.get_docstring(tree) or "").partition("\n")[0]


def _look_for_slips(plugin: Plugin) -> None:
    """Keep a folder that is no kind, but nearly has the name of one, and a file without a name."""
    for place in sorted(plugin.folder.glob("*/")):
        near = get_close_matches(place.name, KINDS, 1, ALIKE)
        if place.name not in KINDS and near:
            text = f"there is no kind {place.name!r}: did you mean {near[0]}?"
            _keep(Problem(plugin.name, place, 0, text))
    for kind in KINDS:
        for name, file in plugin.files(kind).items():
            if NAME.fullmatch(name) is None:
                _keep(Problem(plugin.name, file, 0, f"rename the file: {NAME_RULE}"))


def _setting(key: str) -> str:
    return os.environ.get(key) or _of_file().get(key) or ""


@cache
def _of_file() -> dict[str, str | None]:
    """Return what `.env` says; nothing where it cannot be read, which the configuration tells."""
    file = Path(".env")
    if not file.is_file():
        return {}
    from dotenv import dotenv_values  # noqa: PLC0415 most starts have no such file

    try:
        return dict(dotenv_values(file, interpolate=False, encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return {}


# -- what they hold --------------------------------------------------------------------------------


def found(kind: str, room: str = "", *, spare: bool = False) -> Iterator[Found]:
    """Import every file of a kind and give it: those of a room of the product, then plug-ins'.

    `room` is the dotted name of the product's folder; empty = the plug-ins' alone. Raises what a
    file of the product raises; with `spare` that is kept in `problems`, as of a plug-in.
    """
    if room:
        yield from _of_room(kind, room, spare=spare)
    for plugin in installed():
        if plugin.off:
            continue
        for name, file in plugin.files(kind).items():
            if NAME.fullmatch(name) is not None:
                module = _imported(plugin, file)
                if module is not None:
                    yield Found(name, module, file, plugin.name)


def _of_room(kind: str, room: str, *, spare: bool) -> Iterator[Found]:
    for folder in map(Path, importlib.import_module(room).__path__):
        for name, file in _files(kind, folder).items():
            inner = ".".join(file.relative_to(folder).with_suffix("").parts)
            try:
                module = importlib.import_module(f"{room}.{inner}")
            except Exception as error:
                if not spare:
                    raise
                where, line = place_of(error, file.parent)
                _keep(Problem("", where or file, line, _said(error)))
            else:
                yield Found(name, module, file, "")


def _files(kind: str, folder: Path) -> dict[str, Path]:
    """Return a folder's files of a kind by the name of what each holds, in alphabetical order."""
    inner = KINDS[kind]
    files = {} if kind == "venue" else {file.stem: file for file in folder.glob("*.py")}
    if inner:
        files |= {file.parent.name: file for file in folder.glob(f"*/{inner}.py")}
    return {name: files[name] for name in sorted(files) if not name.startswith("_")}


def _imported(plugin: Plugin, file: Path) -> ModuleType | None:
    inner = file.relative_to(plugin.folder).with_suffix("").parts
    name = ".".join((plugin.package, *inner))
    try:
        # Loaded before, it is there at once: no thread need look at it.
        module = sys.modules.get(name) or in_time(
            partial(importlib.import_module, name), f"its import of {name}", budget_s=IMPORT_S
        )
    except (Exception, SystemExit) as error:  # noqa: BLE001 whatever is wrong, the others work
        where, line = place_of(error, plugin.folder)
        hint = ON_TOP if isinstance(error, ImportError) and file.parent.name in EVERYWHERE else ""
        _keep(Problem(plugin.name, where or file, line, _said(error) + hint))
        return None
    if Path(str(module.__file__)).resolve() != file.resolve():
        text = f"its module {name} is another file, {module.__file__}: rename it"
        _keep(Problem(plugin.name, file, 0, text))
        return None
    return module


def place_of(error: BaseException, folder: Path) -> tuple[Path | None, int]:
    """Return file and line in a folder where an error came from; (None, 0) = elsewhere."""
    if isinstance(error, SyntaxError) and error.filename:
        return Path(error.filename), error.lineno or 0
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if folder in Path(frame.filename).parents:
            return Path(frame.filename), frame.lineno or 0
    return None, 0


def _said(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.text.strip() if error.text else 'no text'})"
    text = str(error)
    kind = type(error).__name__
    return f"{kind}: {text}" if text else kind


def _line_of(thing: object) -> int:
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return 0
    try:
        return inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):
        return 0


# -- what code that decides must not do ------------------------------------------------------------

SQL = frozenset({"sqlite3", "sqlalchemy", "sqlmodel", "sqlite_utils", "alembic"})
CLOCK = frozenset({"time", "sched"})
CHANCE = frozenset({"random", "secrets", "uuid"})
IO = frozenset(
    """
    asyncio concurrent fcntl fileinput ftplib glob http io logging mmap multiprocessing os pathlib
    select selectors shutil signal smtplib socket socketserver ssl subprocess tempfile threading
    urllib httpx websockets aiohttp requests
    """.split()  # noqa: SIM905 thirty quoted names are harder to read
)
PURE = SQL | CLOCK | CHANCE | IO
"""What code that decides never imports: the same input must give the same answer."""

BUILTINS = frozenset({"open", "print", "input", "exec", "eval", "__import__"})
"""Functions that do what `PURE` forbids without an import."""


def imported(tree: ast.AST, *, top: bool = False) -> Iterator[tuple[int, str]]:
    """Give (line, dotted name) of every absolute import; `top` = those the import of a file runs.

    What stands under `if TYPE_CHECKING` is no import of the running program.
    """
    for node in _nodes(tree, top=top):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, node.module or ""


def _nodes(tree: ast.AST, *, top: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield node
        yield from _nodes(node, top=top)


def impurities(file: Path) -> Iterator[str]:
    """Give a sentence for everything a file does that code which decides must not do."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for line, name in imported(tree):
        if name in PURE or name.partition(".")[0] in PURE:
            yield f"{file}:{line}: it imports {name}: no I/O, no clock, no chance, no SQL"
    for node in ast.walk(tree):
        called = (
            node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        )
        if called in BUILTINS:
            line = getattr(node, "lineno", 0)
            yield f"{file}:{line}: it calls {called}(): no I/O, no code in text"


HIDDEN = frozenset({"builtins", "ctypes", "gc", "importlib", "inspect", "sys"})
"""Modules by which a strategy could reach what it is not given: frames, objects, other modules."""

NOW = frozenset({"now", "utcnow", "today"})
"""Methods of `datetime` that read the clock."""


def by_the_back_door(file: Path) -> Iterator[str]:
    """Give a sentence for every other way to the clock, to chance, or to what was not given."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for line, name in imported(tree):
        if name.partition(".")[0] in HIDDEN:
            yield f"{file}:{line}: it imports {name}: a strategy has what its context gives it"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value).rpartition(".")[2]
            if node.func.attr in NOW and owner in {"datetime", "date", "dt"}:
                yield f"{file}:{node.lineno}: it calls {owner}.{node.func.attr}(): no clock"
        elif isinstance(node, ast.ExceptHandler):
            caught = "" if node.type is None else ast.unparse(node.type)
            if node.type is None or "BaseException" in caught:
                said = "it catches everything: what ends a strategy that takes too long must pass"
                yield f"{file}:{node.lineno}: {said}"
        elif isinstance(node, ast.Attribute) and node.attr == "random":
            yield f"{file}:{node.lineno}: it uses {ast.unparse(node)}: no chance"
        elif isinstance(node, ast.Name) and node.id == "__builtins__":
            yield f"{file}:{node.lineno}: it uses __builtins__: no I/O, no code in text"
