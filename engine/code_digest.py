"""A digest of the code that makes a strategy decide as it does: evidence is of one such code.

It counts the file (or folder) of the class, those of its bases, and every module of the same room
that they import, and that these import: of the product `engine/strategies`, of a plug-in its whole
folder. The engine's own is the product's version, not its: what lies below the room (domain,
indicators, caches), and the door through which it is asked, which decides nothing.
Files are read, not imported; a line that only looks like an import counts a file too much.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from engine.plugins import DIGEST_DIGITS

ROOM = "strategies"
PRODUCT = "engine"
DOOR = Path(__file__).parent / ROOM / "door.py"
FILES_MAX = 4_096

_FROM = re.compile(
    rb"^[ \t]*from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#;]*)", re.MULTILINE
)
_IMPORT = re.compile(rb"^[ \t]*import[ \t]+([^\n#;]*)", re.MULTILINE)
_REMARK = re.compile(rb"#[^\n]*")
_WORD = re.compile(rb"\w+")

DottedName = tuple[str, ...]
"""A dotted name, its parts."""


def code_digest(kind: type[object]) -> str:
    """Return a digest of the code of a class, as `DIGEST_DIGITS` digits of a SHA-256.

    A class with `made_of` is made of other classes: their files count, too.
    """
    total = hashlib.sha256()
    for name, file in sorted(files_of(kind).items()):
        source = _source(file)
        total.update(b"%s %d " % (name.encode(), len(source)))
        total.update(source)
    return total.hexdigest()[:DIGEST_DIGITS]


def files_of(kind: type[object]) -> dict[str, Path]:
    """Return every file that the digest of a class counts, by its name in its room."""
    kinds = [kind, *getattr(kind, "made_of", list)()]
    made: dict[str, Path] = {}
    for base in dict.fromkeys(base for one in kinds for base in one.__mro__):
        own = base.__module__.partition(".")[0]
        file = getattr(sys.modules.get(base.__module__), "__file__", None)
        if file is None or own not in {PRODUCT, kind.__module__.partition(".")[0]}:
            continue  # of a library, or of the language: its version is not the strategy's
        path = Path(file)
        whole = path.parent.name == getattr(kind, "name", "")
        for one in sorted(path.parent.glob("*.py")) if whole else [path]:
            _follow(one, *_room(base.__module__, one), made)
    return made


def _room(module: str, file: Path) -> tuple[Path, DottedName]:
    """Return the folder whose modules count with a file, and its dotted name.

    A file that lies in no folder of strategies counts alone.
    """
    parts = module.split(".")
    for folder in file.parents if ROOM in parts else ():
        if folder.name == ROOM:
            package = tuple(parts[: parts.index(ROOM) + 1])
            if package[0] == PRODUCT:
                return folder, package
            return folder.parent, package[:-1]
    return file, ()


def _follow(file: Path, folder: Path, package: DottedName, made: dict[str, Path]) -> None:
    """Put a file and what it imports of its room into `made`."""
    waiting = [file]
    while waiting:
        one = waiting.pop()
        name = one.relative_to(folder).as_posix() if package else one.name
        if name in made or one == DOOR:
            continue
        made[name] = one
        if package:
            waiting += _imports(_source(one), one, folder, package)


@lru_cache(FILES_MAX)
def _imports(source: bytes, file: Path, folder: Path, package: DottedName) -> tuple[Path, ...]:
    """Return the files of a room that a file of it imports."""
    where = (*package, *file.relative_to(folder).parent.parts)
    made: dict[Path, None] = {}
    for dots, named in _named(source):
        whole = (*where[: len(where) - dots + 1], *named) if dots else named
        if whole[: len(package)] == package:
            made |= dict.fromkeys(_module(folder, whole[len(package) :]))
    return tuple(made)


def _module(folder: Path, parts: DottedName) -> Iterator[Path]:
    """Give the files that the import of a dotted name in a room runs, its packages' among them.

    That of the room itself counts where something is taken from it by name.
    """
    if not parts:
        yield from _there(folder / "__init__.py")
    for count in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:count])
        yield from _there(place / "__init__.py")
        yield from _there(place.with_suffix(".py"))


def _there(file: Path) -> Iterator[Path]:
    if file.is_file():
        yield file


def _named(source: bytes) -> set[tuple[int, DottedName]]:
    """Return the dots before, and the parts of, every dotted name that Python code may import."""
    made: set[tuple[int, DottedName]] = set()
    for dots, module, names in _FROM.findall(source):
        first = tuple(module.decode().split(".")) if module else ()
        made.add((len(dots), first))
        for word in _WORD.findall(_REMARK.sub(b"", names)):
            made.add((len(dots), (*first, word.decode())))
    for names in _IMPORT.findall(source):
        for one in names.split(b","):
            made.add((0, tuple(one.split(b" as ")[0].strip().decode().split("."))))
    return made


def _source(file: Path) -> bytes:
    stat = file.stat()
    return _read(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(FILES_MAX)
def _read(file: Path, changed_ns: int, size: int) -> bytes:
    """Return the bytes of a file, with line ends as they are in the repository."""
    del changed_ns, size
    return file.read_bytes().replace(b"\r\n", b"\n")
