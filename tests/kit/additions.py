"""The additions of the tests, laid into a copy of the product: as a plug-in, or into its rooms."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ADDITIONS = REPOSITORY / "tests/additions"
TOY = ADDITIONS / "plugins" / "toy"
PRODUCT = ("engine", "storage", "pages", "studies", "app.py")
LAWS = (
    "tests",
    "docs",
    "bench",
    "README.md",
    "CHANGELOG.md",
    "Makefile",
    "pyproject.toml",
    "requirements.txt",
    "requirements-dev.txt",
)
"""What the laws and contracts read besides the product."""

ROOMS = {
    "venue": "engine/venues/toy",
    "strategies": "engine/strategies",
    "indicators": "engine/indicators",
    "pages": "pages",
    "alerts": "engine/domain/alerts",
    "channels": "engine/watch/channels",
    "projected": "storage/projected",
    "verbs": "engine/cli",
    "formats": "engine/lab/formats",
}
"""Where a plug-in's kind lies in the product. Jobs and commands are one file in a plug-in and two
in the rooms, which `additions/rooms` holds; a limit is rows, `additions/rows`."""


def in_the_rooms() -> bool:
    """Say whether this product is such a copy: then the toy cannot be installed besides."""
    return (REPOSITORY / ROOMS["venue"]).is_dir()


def copy(folder: Path, *names: str) -> None:
    """Copy files and folders of the repository, and what is compiled of them, to save time.

    A compiled file that another test is writing has a name of its own until it is whole.
    """
    ignored = shutil.ignore_patterns("*.pyc.*", ".venvs")
    for name in names:
        place = REPOSITORY / name
        if place.is_dir():
            shutil.copytree(place, folder / name, ignore=ignored)
        else:
            shutil.copy(place, folder / name)


def lay(folder: Path, *, as_plugin: bool) -> None:
    """Lay every addition into a copy of the product, whose files stay as they are."""
    for added, target in _files(folder, as_plugin=as_plugin):
        assert not target.exists(), f"{target} is a file of the product: it is added, not edited"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(added, target)
    if not as_plugin:
        _lay_rows(folder)


def _files(folder: Path, *, as_plugin: bool) -> Iterator[tuple[Path, Path]]:
    """Give every added file and where it goes."""
    if as_plugin:
        for file in sorted(TOY.rglob("*.py")):
            yield file, folder / "plugins" / "toy" / file.relative_to(TOY)
        return
    for kind, room in ROOMS.items():
        for file in sorted((TOY / kind).glob("*.py")):
            yield file, folder / room / file.name
    for file in sorted((ADDITIONS / "rooms").rglob("*.py")):
        yield file, folder / file.relative_to(ADDITIONS / "rooms")


def _lay_rows(folder: Path) -> None:
    """Add the rows of what is no file; nothing of the product goes."""
    for file in sorted((ADDITIONS / "rows").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"rows_{file.stem}", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, (above, rows) in module.ROWS.items():
            place = folder / name
            text = place.read_text(encoding="utf-8")
            assert text.count(above) == 1, f"{name} has no place for rows of {file.name}"
            place.write_text(text.replace(above, rows + above), encoding="utf-8")
