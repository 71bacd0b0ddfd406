"""`python -m engine data`: imported bars, trades and prices: bring, look at, prove, give away.

An import is done by this command itself: it needs no engine and no worker. What one line of a file
refuses leaves nothing behind; what was interrupted goes on with the same command.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from engine.cli.arguments import say, unwritable, whole
from engine.clock import WallClock
from engine.config import Config
from engine.errors import BadInput
from engine.lab.formats.importing import (
    ImportRequest,
    Preview,
    files_in,
    formats,
    import_files,
    mapping_of,
    preview,
)
from engine.lab.formats.numbers import stamp_ns
from engine.lab.formats.subject import only_of
from engine.lab.progress import ProgressLine
from engine.lab.recordings.funding import lacks_funding
from engine.log import iso
from storage import datasets
from storage.datasets import DataKind, Dataset
from storage.files import said_bytes, write_whole

HELP = "list, import, preview, verify, trim, export or delete imported market data"
ROWS_SHOWN = 10
PROBLEM = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="every data set; what is done without a word, too")
    actions.add_parser("formats", help="the formats that are read, and where they are described")
    bring = actions.add_parser("import", help="make one data set of files, or of a folder of them")
    bring.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    bring.add_argument(
        "--instrument", required=True, help="e.g. binance:BTC/USDT; its currency is after the slash"
    )
    bring.add_argument("--name", default="", help="of the data set (default: of the instrument)")
    look = actions.add_parser("preview", help="the first rows of a file as they would be read")
    look.add_argument("path", type=Path, metavar="FILE")
    look.add_argument("--rows", type=whole(1, 1_000), default=ROWS_SHOWN, help="rows to print")
    for one in (bring, look):
        _reading_arguments(one)
    for name, said in (
        ("show", "everything known of a data set"),
        ("verify", "prove that its bytes are those of the import"),
        ("delete", "delete a data set"),
    ):
        one = actions.add_parser(name, help=said)
        one.add_argument("name")
    cut = actions.add_parser("trim", help="make another data set of a part of one")
    cut.add_argument("name")
    cut.add_argument("new", metavar="NEW", help="name of the part; the whole stays as it is")
    for flag, name, default in (
        ("--from", "since", "2001-09-10"),
        ("--until", "until", "2200-01-01"),
    ):
        cut.add_argument(flag, dest=name, default=default, metavar="TIME", help="UTC, ISO 8601")
    demo = actions.add_parser("demo", help="write bars of the demo exchange, played in moments")
    _demo_arguments(demo)
    give = actions.add_parser("export", help="write the rows of a data set as CSV")
    give.add_argument("name")
    give.add_argument("file", type=Path, metavar="FILE.csv")


def _reading_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("--format", default="", help="a name of `data formats` (default: found)")
    one.add_argument("--kind", choices=[str(kind) for kind in DataKind], help="of the rows")
    one.add_argument(
        "--columns",
        default="",
        metavar="ROLE=COLUMN,…",
        help="which column holds what, by name or number: time=date,price=px,size=4",
    )
    one.add_argument(
        "--sort", action="store_true", help="sort each file's rows by time (in memory)"
    )
    one.add_argument(
        "--only",
        default="",
        metavar="COLUMN=VALUE,…",
        help="the rows that are meant, of a file that holds several markets: symbol=BTCUSDT",
    )


def _demo_arguments(play: argparse.ArgumentParser) -> None:
    play.add_argument("file", type=Path, metavar="FILE.csv")
    play.add_argument("--hours", type=whole(1, 24 * 31), default=6, help="how many (default: 6)")
    play.add_argument("--seed", type=whole(0, 1 << 31), default=7, help="of the market (7)")
    play.add_argument("--from", dest="since", default="2026-11-02", metavar="TIME", help="UTC")


def run(args: argparse.Namespace, config: Config) -> int:
    """Do it. 0 = done, 1 = a data set is not as it was imported. Raises BadInput, StorageError."""
    actions = {
        "formats": _formats,
        "import": _import,
        "preview": _preview,
        "show": _show,
        "verify": _verify,
        "delete": _delete,
        "export": _export,
        "demo": _demo,
        "trim": _trim,
    }
    return actions.get(args.action or "", _list)(args, config)


def _list(args: argparse.Namespace, config: Config) -> int:
    known = datasets.datasets(config.data_folder)
    halted = datasets.unfinished(config.data_folder)
    rows = [
        f"{one.name:32} {one.instrument:24} {one.kind:7} {one.rows:>12,} rows  "
        f"{iso(one.first_ns)} to {iso(one.last_ns)}  {said_bytes(one.bytes)}  "
        f"{one.judged.trust}: {one.judged.reason}"
        for one in known
    ]
    rows += [f"{name}: its import was interrupted; the same command goes on" for name in halted]
    none = "no data was imported yet: python -m engine data import PATH --instrument venue:MARKET"
    answer = {"datasets": msgspec.to_builtins(known), "interrupted": halted}
    say(args, answer, "\n".join(rows) or none)
    return 0


def _formats(args: argparse.Namespace, config: Config) -> int:
    del config
    known = formats()
    answer = {
        name: {"title": one.title, "kind": str(one.kind), "source": one.source}
        for name, one in known.items()
    }
    rows = [f"{name:20} {one.kind:7} {one.title}: {one.source}" for name, one in known.items()]
    say(args, answer, "\n".join(rows))
    return 0


def _request(args: argparse.Namespace, files: tuple[Path, ...]) -> ImportRequest:
    return ImportRequest(
        files=files,
        instrument=getattr(args, "instrument", ""),
        name=getattr(args, "name", ""),
        format=args.format,
        kind=DataKind(args.kind) if args.kind else None,
        mapping=mapping_of(args.columns),
        only=only_of(args.only),
        sort=args.sort,
    )


def _import(args: argparse.Namespace, config: Config) -> int:
    clock = WallClock()
    began_ns = clock.now_ns()
    line = ProgressLine(shown=not args.json)
    try:
        made = import_files(
            _request(args, files_in(args.paths)),
            config.data_folder,
            began_ns,
            lambda done, total, note: line(done, max(1, total), note),
        )
    finally:
        line.end()
    took_s = (clock.now_ns() - began_ns) / 1e9
    speed = f"{took_s:.1f} s, {took_s / made.rows * 1e6:,.1f} s per million rows"
    answer = msgspec.to_builtins(made) | {"elapsed_s": round(took_s, 3)}
    say(
        args,
        answer,
        "\n".join([_described(made), speed, *_playing(made, config.data_folder / made.name)]),
    )
    return 0


PLAYED_WITH = {
    DataKind.BARS: "",
    DataKind.TRADES: "",
    DataKind.QUOTES: " --param bars=5m/mids",
}
"""What a rule of bars needs besides, by the kind of data that can be played."""


def _playing(made: Dataset, path: Path) -> list[str]:
    """Return how a data set is played; empty = it cannot be."""
    more = PLAYED_WITH.get(made.kind)
    if more is None:
        return []
    return [f"play it: python -m engine replay {path} --bot sma_cross{more}"]


def _demo(args: argparse.Namespace, config: Config) -> int:
    del config
    from engine.lab.demo_bars import HEADER, demo_bars  # noqa: PLC0415 the exchange is a start's worth

    if args.file.exists():
        raise BadInput(f"{args.file} is there already: name another file")
    if not args.file.parent.is_dir():  # hours are not played for a file that cannot be written
        raise BadInput(f"{args.file}: there is no folder {args.file.parent}")
    began_ns = stamp_ns(args.since)
    if began_ns is None:
        raise BadInput(f"--from {args.since!r} is no time: write ISO 8601, e.g. 2026-11-02")
    minutes, line = 60 * args.hours, ProgressLine(shown=not args.json)
    rows = [HEADER]
    try:
        for number, bar in enumerate(demo_bars(args.seed, began_ns, minutes), 1):
            rows.append(bar.line())
            line(number, minutes, "minutes")
    finally:
        line.end()
    try:
        write_whole(args.file, "\n".join([*rows, ""]).encode())
    except OSError as error:
        raise unwritable(args.file, error) from error
    said = f"{len(rows) - 1:,} bars of the demo exchange, of no real market: {args.file}"
    say(args, {"bars": len(rows) - 1, "file": str(args.file)}, said)
    return 0


def _preview(args: argparse.Namespace, config: Config) -> int:
    del config
    if not args.path.is_file():
        raise BadInput(f"{args.path}: there is no such file")
    found = preview(args.path, _request(args, (args.path,)), args.rows)
    say(args, {**vars(found), "kind": str(found.kind)}, previewed(found))
    return int(bool(found.refused)) * PROBLEM


def previewed(found: Preview) -> str:
    """Return a preview in words."""
    named = ", ".join(f"{role} = {column}" for role, column in found.columns.items())
    names = datasets.COLUMNS[found.kind]
    rows = [
        "  ".join(_shown(name, value) for name, value in zip(names, row, strict=True))
        for row in found.rows
    ]
    return "\n".join(
        [
            f"{found.file}: {found.title} ({found.format}), {found.kind}",
            f"columns: {named}",
            *rows,
            *([f"refused: {found.refused}"] if found.refused else []),
        ]
    )


def _shown(name: str, value: int) -> str:
    if name.endswith("_ns"):
        return iso(value)
    return f"{name} {value}" if name in ("side", "id") else f"{name} {value / 1e8:.10g}"


def _show(args: argparse.Namespace, config: Config) -> int:
    found = datasets.find(config.data_folder, args.name)
    say(args, msgspec.to_builtins(found), _described(found))
    return 0


def _described(found: Dataset) -> str:
    files = [
        f"  {file.name}: {file.written.rows:,} rows, {file.format}, checksum {file.checksum}, "
        f"repeated {file.duplicates:,}"
        for file in found.files
    ]
    return "\n".join(
        [
            f"{found.name}: {found.rows:,} {found.kind} of {found.instrument}",
            f"{iso(found.first_ns)} to {iso(found.last_ns)}, {said_bytes(found.bytes)}, "
            f"{found.bytes / found.rows:.1f} bytes a row",
            f"trust: {found.judged.trust}, {found.judged.reason}",
            f"gaps {found.gaps:,}, {found.gap_ns / 1e9:,.0f} s together",
            *lacks_funding(found),
            *files,
        ]
    )


def _verify(args: argparse.Namespace, config: Config) -> int:
    found = datasets.find(config.data_folder, args.name)
    wrong = datasets.verify(config.data_folder / found.name)
    good = f"{found.name}: {len(found.files)} parts, every byte as it was imported"
    say(args, {"name": found.name, "wrong": wrong}, "\n".join(wrong) or good)
    return PROBLEM if wrong else 0


def _delete(args: argparse.Namespace, config: Config) -> int:
    gone = datasets.delete(config.data_folder, args.name)
    say(args, {"deleted": gone.name, "bytes": gone.bytes}, f"{gone.name} is deleted")
    return 0


def _trim(args: argparse.Namespace, config: Config) -> int:
    since_ns, until_ns = (stamp_ns(text) for text in (args.since, args.until))
    if since_ns is None or until_ns is None:
        raise BadInput(f"{args.since} to {args.until}: write times as 2026-03-01T12:00:00")
    now_ns = WallClock().now_ns()
    made = datasets.trim(config.data_folder, args.name, args.new, (since_ns, until_ns), now_ns)
    say(args, msgspec.to_builtins(made), _described(made))
    return 0


def _export(args: argparse.Namespace, config: Config) -> int:
    found = datasets.find(config.data_folder, args.name)
    rows = datasets.export_csv(config.data_folder / found.name, args.file)
    say(args, {"file": str(args.file), "rows": rows}, f"{rows:,} rows in {args.file}")
    return 0
