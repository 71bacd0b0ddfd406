"""Sizes: hard limits nothing may pass, and counts over the soft ones that may only fall.

A function's size is counted from its `def` to its last line, docstring included. Where a count
fell, the test asks for the new number in `RATCHET`: what was won is not given back.
"""

from __future__ import annotations

import ast
import collections
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.kit.trees import statements, tree_of
from tests.test_architecture import imports, module_name, sources

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = ("engine", "storage", "pages", "bench", "studies", "app.py")

FUNCTION_LINES_MAX = 70
FUNCTION_LINES_SOFT = 50
FILE_LINES_MAX = 900
FILE_LINES_SOFT = 600
POSITIONAL_SOFT = 5

RATCHET = {"functions over 50 lines": 1, "files over 600 lines": 0, "functions over 5 arguments": 0}
"""How many there may be. A number may only become smaller. The one long function is the compiled
generator of the benchmark's workload: one loop, as the compiler wants it."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(root: Path, places: tuple[str, ...] = SOURCES) -> Iterator[Path]:
    for name in places:
        place = root / name
        found = sorted(place.rglob("*.py")) if place.is_dir() else [place][: place.is_file()]
        # Applied migrations are history: they are never edited again. Peers live in bench/.venvs.
        yield from (file for file in found if not {"versions", ".venvs"} & set(file.parts))


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in statements(tree) if isinstance(node, Function))


def lines_of(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def positional(function: Function) -> int:
    """Return how many arguments can be given by position; `self` and `cls` do not count."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def measure(root: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return what passes a hard limit, and what passes each soft one."""
    hard: list[str] = []
    soft: dict[str, list[str]] = {name: [] for name in RATCHET}
    for file in files(root):
        name = file.relative_to(root).as_posix()
        count = len(file.read_text(encoding="utf-8").splitlines())
        if count > FILE_LINES_MAX:
            hard.append(f"{name}: {count} lines; {FILE_LINES_MAX} is the limit, split it")
        if count > FILE_LINES_SOFT:
            soft["files over 600 lines"].append(f"{name}: {count} lines")
        for function in functions(tree_of(file)):
            place, size = f"{name}:{function.lineno}: {function.name}", lines_of(function)
            if size > FUNCTION_LINES_MAX:
                hard.append(f"{place}: {size} lines; {FUNCTION_LINES_MAX} is the limit, split it")
            if size > FUNCTION_LINES_SOFT:
                soft["functions over 50 lines"].append(f"{place}: {size} lines")
            if positional(function) > POSITIONAL_SOFT:
                soft["functions over 5 arguments"].append(
                    f"{place}: {positional(function)} arguments by position; make them keyword-only"
                )
    return hard, soft


@cache
def of_the_repository() -> tuple[list[str], dict[str, list[str]]]:
    return measure(REPOSITORY)


def test_nothing_passes_a_hard_limit() -> None:
    hard, _ = of_the_repository()
    assert not hard, "\n" + "\n".join(hard)


@pytest.mark.parametrize("limit", RATCHET)
def test_soft_limit_is_passed_no_more_often_than_before(limit: str) -> None:
    _, soft = of_the_repository()
    over, allowed = soft[limit], RATCHET[limit]
    assert len(over) <= allowed, f"\n{limit}: {len(over)}, {allowed} allowed:\n" + "\n".join(over)
    assert len(over) == allowed, f"{limit} fell to {len(over)}: write that into RATCHET"


# -- counts of lines -------------------------------------------------------------------------------

ROOMS = ("engine", "storage", "pages")
LINES = {
    "tables laid by hand": (r"# fmt: skip", SOURCES, 35),
    "values of any type": (r"\bAny\b", SOURCES, 350),
    "lines with 'told'": (r"\b[Tt]old\b", ROOMS, 43),
    "lines with 'nobody'": (r"\b[Nn]obody\b", ROOMS, 23),
}
"""A pattern, where it is looked for, and how many lines may have it: a number may only fall."""


def lines_with(root: Path, pattern: str, places: tuple[str, ...]) -> int:
    wanted = re.compile(pattern)
    texts = [file.read_text(encoding="utf-8") for file in files(root, places)]
    return sum(bool(wanted.search(line)) for text in texts for line in text.splitlines())


@pytest.mark.parametrize("what", LINES)
def test_lines_of_a_kind_become_no_more(what: str) -> None:
    pattern, places, allowed = LINES[what]
    found = lines_with(REPOSITORY, pattern, places)
    assert found <= allowed, f"{what}: {found} lines, {allowed} allowed"


def test_lines_of_a_kind_are_counted(tmp_path: Path) -> None:
    plant(tmp_path, "engine/x.py", "x: Any = 1  # fmt: skip\ny: Anything\n\n# Any\n")
    assert lines_with(tmp_path, *LINES["values of any type"][:2]) == 2
    assert lines_with(tmp_path, *LINES["tables laid by hand"][:2]) == 1


def plant(root: Path, name: str, text: str) -> tuple[list[str], dict[str, list[str]]]:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return measure(root)


def function_of(lines: int) -> str:
    return "def f():\n" + "    x = 1\n" * (lines - 1)


@pytest.mark.parametrize(
    ("lines", "hard", "soft"), [(50, 0, 0), (51, 0, 1), (70, 0, 1), (71, 1, 1)]
)
def test_long_function_is_found(lines: int, hard: int, soft: int, tmp_path: Path) -> None:
    found, over = plant(tmp_path, "engine/x.py", function_of(lines))
    assert len(found) == hard
    assert len(over["functions over 50 lines"]) == soft


@pytest.mark.parametrize(("lines", "hard", "soft"), [(600, 0, 0), (601, 0, 1), (901, 1, 1)])
def test_long_file_is_found(lines: int, hard: int, soft: int, tmp_path: Path) -> None:
    found, over = plant(tmp_path, "storage/x.py", "x = 1\n" * lines)
    assert len(found) == hard
    assert len(over["files over 600 lines"]) == soft


def test_method_nested_in_a_class_is_measured(tmp_path: Path) -> None:
    body = "".join(f"    {line}\n" for line in function_of(80).splitlines())
    found, _ = plant(tmp_path, "engine/x.py", "class C:\n" + body)
    assert len(found) == 1
    assert found[0].startswith("engine/x.py:2: f: 80 lines")


def test_arguments_by_position_are_counted_without_self(tmp_path: Path) -> None:
    text = (
        "class C:\n    def f(self, a, b, c, d, e): ...\n    def g(self, a, *, b, c, d, e, f): ...\n"
    )
    assert plant(tmp_path, "engine/x.py", text)[1]["functions over 5 arguments"] == []
    text = "def f(a, b, c, d, e, f): ...\n"
    assert len(plant(tmp_path, "engine/x.py", text)[1]["functions over 5 arguments"]) == 1


def test_applied_migrations_and_peers_are_left_out(tmp_path: Path) -> None:
    plant(tmp_path, "storage/migrations/versions/0001.py", function_of(80))
    found, _ = plant(tmp_path, "bench/.venvs/peer/x.py", function_of(80))
    assert found == []


# -- distance: what a reader opens beside the file in hand -----------------------------------------

DISTANCE = {
    "single-importer siblings": 10,
    "single-importer siblings, all": 24,
    "type names defined twice": 0,
    "attributes set from outside": 0,
    "attributes set by a neighbour": 61,
    "circles of imports": 0,
}
"""How many there may be. No sum of lines and no count of small files stands here: both would make
each feature pay by deleting a line somewhere else.

Siblings are counted twice: those that should not stand apart, and all of them, whatever their
length, their tests and their kind, in the product and the studies, as somebody from outside would.
"""

SIBLING_LINES_MAX = 250
"""A file with one importer may stand apart above this, with a test of its own."""


class Module:
    """One file of the product."""

    def __init__(self, file: Path, root: Path) -> None:
        self.file = file
        self.name = module_name(file, root)
        text = file.read_text(encoding="utf-8")
        self.lines = len(text.splitlines())
        self.tree = tree_of(file)
        self.package = file.name == "__init__.py"
        self.imports = {name for _, name in imports(self.tree, self.name, file, root)}


def modules(root: Path) -> list[Module]:
    return [Module(f, root) for f in sources(root) if "versions" not in f.parts]


def studies(root: Path) -> list[Module]:
    """Return what stands beside the product and is read as it is."""
    return [Module(f, root) for f in sorted(root.joinpath("studies").rglob("*.py"))]


def siblings(found: list[Module]) -> list[tuple[Module, str]]:
    """Return the files that one file of their own folder imports, and no other; and that one."""
    importers = collections.defaultdict(set)
    for module in found:
        for name in module.imports - {module.name}:
            importers[name].add(module)
    return [
        (module, only.name)
        for module in found
        for only in importers[module.name]
        if len(importers[module.name]) == 1 and only.file.parent == module.file.parent
    ]


def apart(root: Path, found: list[Module]) -> list[str]:
    """Return the siblings that are no package, and neither long nor tested by themselves."""
    return [
        f"{module.name}: {module.lines} lines, for {only} alone"
        for module, only in siblings(found)
        if not module.package
        and not (module.lines > SIBLING_LINES_MAX and has_a_test(root, module))
    ]


def has_a_test(root: Path, module: Module) -> bool:
    places = module.name.split(".")[module.name.startswith("engine.") : -1]
    return root.joinpath("tests", *places, f"test_{module.file.stem}.py").is_file()


def twice(found: list[Module]) -> list[str]:
    """Return the names of types, aliases among them, that more than one file defines."""
    places = collections.defaultdict(list)
    for module in found:
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module.name)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name[0].isupper() and not name.isupper():
                    places[name].append(module.name)
    return [f"{name}: {', '.join(where)}" for name, where in places.items() if len(where) > 1]


def assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """Give what a statement assigns to, and what; None where it only declares."""
    if isinstance(node, ast.AnnAssign):
        yield node.target, node.value
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            for one in target.elts if isinstance(target, ast.Tuple) else [target]:
                yield one, node.value


def of_itself(target: ast.expr) -> bool:
    return isinstance(target, ast.Attribute) and ast.unparse(target.value) in {"self", "cls"}


VALUES = (
    "Struct",
    "Protocol",
    "dataclass",
    "Enum",
    "NamedTuple",
    "BaseModel",
    "TypedDict",
    "Error",
)
"""A class one of whose bases or decorators has such a name is a value: its fields may be set."""


class Behaviours:
    """The classes of a product that are no values, by name, and the types that code gives names."""

    def __init__(self, found: list[Module]) -> None:
        self.home = {
            node.name: (module, node)
            for module in found
            for node in statements(module.tree)
            if isinstance(node, ast.ClassDef)
        }
        self.fields = {name: self._of(node) for name, (_, node) in self.home.items()}

    def is_value(self, name: str) -> bool:
        """Say whether objects of a class are values."""
        if name not in self.home:
            return any(word in name for word in VALUES)
        node = self.home[name][1]
        bases = [ast.unparse(one).split("[")[0] for one in (*node.bases, *node.decorator_list)]
        return any(self.is_value(one.split("(")[0].split(".")[-1]) for one in bases if one != name)

    def _of(self, node: ast.ClassDef) -> dict[str, str]:
        """Return what the class of each of its attributes is, as far as it says so."""
        types: dict[str, str] = {}
        for method in functions(node):
            given = of_arguments(method)
            for one in statements(method):
                for target, value in assigned(one):
                    if of_itself(target) and isinstance(target, ast.Attribute):
                        kind = class_of(getattr(one, "annotation", None)) or made(value)
                        if isinstance(value, ast.Name):
                            kind = kind or given.get(value.id, "")
                        if kind:
                            types[target.attr] = kind
        for one in node.body:
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
                types[one.target.id] = class_of(one.annotation)
        return types


def class_of(annotation: ast.expr | None) -> str:
    """Return the class an annotation names, alone or beside None."""
    if annotation is None:
        return ""
    words = [one.strip(" '\"") for one in ast.unparse(annotation).split("|")]
    named = [one for one in words if one != "None"]
    return named[0].split(".")[-1] if len(named) == 1 else ""


def made(value: ast.expr | None) -> str:
    return ast.unparse(value.func).split(".")[-1] if isinstance(value, ast.Call) else ""


def of_arguments(method: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, str]:
    arguments = method.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    return {one.arg: class_of(one.annotation) for one in every}


def wired(found: list[Module]) -> dict[str, bool]:
    """Return where an attribute of an object of behaviour is set in another file than its class's.

    And whether that file stands in the same folder. What the object's class is, its annotation
    says, or where it was made.
    """
    behaviours = Behaviours(found)
    sentences: dict[str, bool] = {}
    for module in found:
        owners = {
            id(method): node.name
            for node in statements(module.tree)
            if isinstance(node, ast.ClassDef)
            for method in functions(node)
        }
        for method in functions(module.tree):
            names = of_arguments(method)
            names["self"] = owners.get(id(method), "")
            for one in statements(method):
                for target, value in assigned(one):
                    if isinstance(target, ast.Name):
                        kind = made(value)
                        if kind in behaviours.home:
                            names.setdefault(target.id, kind)
                    elif isinstance(target, ast.Attribute) and not of_itself(target):
                        kind = _kind_of(target.value, names, behaviours)
                        home = behaviours.home.get(kind)
                        if home and home[0] is not module and not behaviours.is_value(kind):
                            place = f"{module.name}:{target.lineno}"
                            near = home[0].file.parent == module.file.parent
                            sentences[f"{place}: {ast.unparse(target)} of {kind}"] = near
    return sentences


def _kind_of(value: ast.expr, names: dict[str, str], behaviours: Behaviours) -> str:
    if isinstance(value, ast.Name):
        return names.get(value.id, "")
    if isinstance(value, ast.Attribute):
        return behaviours.fields.get(_kind_of(value.value, names, behaviours), {}).get(
            value.attr, ""
        )
    return ""


def circles(found: list[Module]) -> list[str]:
    """Return the sets of files that import one another, for types alone or not."""
    targets = {one.name: one.imports - {one.name} for one in found}
    reached = {name: _reached(name, targets) for name in targets}
    together = {
        tuple(sorted(other for other in beyond if name in reached.get(other, ())))
        for name, beyond in reached.items()
        if name in beyond
    }
    return [" ↔ ".join(one) for one in sorted(together)]


def _reached(name: str, targets: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    left = [name]
    while left:
        for target in targets.get(left.pop(), set()) - found:
            found.add(target)
            left.append(target)
    return found


def distances(root: Path, found: list[Module]) -> dict[str, list[str]]:
    """Return what is counted, by the name of its count."""
    outside = wired(found)
    return {
        "single-importer siblings": apart(root, found),
        "single-importer siblings, all": [
            f"{module.name}: {module.lines} lines, for {only} alone"
            for module, only in siblings([*found, *studies(root)])
        ],
        "type names defined twice": twice(found),
        "attributes set from outside": [text for text, near in outside.items() if not near],
        "attributes set by a neighbour": [text for text, near in outside.items() if near],
        "circles of imports": circles(found),
    }


@cache
def of_the_product() -> dict[str, list[str]]:
    return distances(REPOSITORY, modules(REPOSITORY))


@pytest.mark.parametrize("what", DISTANCE)
def test_distance_does_not_grow(what: str) -> None:
    found, allowed = of_the_product()[what], DISTANCE[what]
    assert len(found) <= allowed, f"\n{what}: {len(found)}, {allowed} allowed:\n" + "\n".join(found)


def test_what_is_far_is_found(tmp_path: Path) -> None:
    for name, text in {
        "engine/a/one.py": "from engine.a import two\nclass Row: ...\n",
        "engine/a/two.py": "Row = dict[str, int]\nclass C:\n    hook: int | None = None\n",
        "engine/b/three.py": "from engine.c import four\ndef wire(c: C):\n    c.hook = print\n",
        "engine/c/four.py": "if TYPE_CHECKING:\n    from engine.b import three\n" + "\n" * 60,
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    far = distances(tmp_path, modules(tmp_path))
    assert far["single-importer siblings"] == ["engine.a.two: 3 lines, for engine.a.one alone"]
    assert far["type names defined twice"] == ["Row: engine.a.one, engine.a.two"]
    assert far["attributes set from outside"] == ["engine.b.three:3: c.hook of C"]
    assert far["circles of imports"] == ["engine.b.three ↔ engine.c.four"]
