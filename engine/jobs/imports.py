"""Imports market data of files, or shows how its first rows would be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.domain.jobs.imports import ImportJob
from engine.errors import BadInput
from engine.jobs.run import JobContext, job
from engine.lab.formats.importing import (
    ImportRequest,
    files_in,
    import_files,
    mapping_of,
    preview,
)
from engine.lab.formats.subject import only_of
from engine.lab.recordings.funding import lacks_funding
from engine.log import iso
from storage.datasets import COLUMNS, DataKind, decimal_text, rate_text


@job(ImportJob)
def import_data(job: ImportJob, context: JobContext) -> Mapping[str, object]:
    """Import what a person brought, or preview it; give what it is."""
    files = files_in((_place(job.path, context),))
    request = ImportRequest(
        files=files,
        instrument=job.instrument,
        name=job.name,
        kind=DataKind(job.rows) if job.rows else None,
        mapping=mapping_of(job.columns),
        only=only_of(job.only),
        sort=job.sort,
    )
    if job.look:
        return _looked(files[0], request)

    def progress(done: int, total: int, note: str) -> None:
        context.progress(done, total, "bytes", note)

    began_ns = context.now_ns()
    made = import_files(request, context.config.data_folder, began_ns, progress)
    took_s = (context.now_ns() - began_ns) / 1e9
    return {
        "told": "; ".join(
            [
                f"{made.name}: {made.rows:,} {made.kind} of {made.instrument}, "
                f"{made.judged.trust}: {made.judged.reason}",
                *lacks_funding(made),
            ]
        ),
        "dataset": made.name,
        "rows": made.rows,
        "gaps": made.gaps,
        "duplicates": made.duplicates,
        "elapsed_s": took_s,
    }


def _place(text: str, context: JobContext) -> Path:
    """Return where the files are: a name under data, else a path. Raises BadInput."""
    folder = context.config.data_folder
    found = next((one for one in (folder / text, Path(text)) if one.exists()), None)
    if found is None:
        raise BadInput(f"there is no {text!r}: not under {folder}, and not as a path")
    return found


def _looked(path: Path, request: ImportRequest) -> Mapping[str, object]:
    """Return the first rows of a file in words, as they would be read."""
    found = preview(path, request)
    names = COLUMNS[found.kind]
    return {
        "told": found.refused or f"{found.file} is read as {found.title}, {found.kind}",
        "same": not found.refused,
        "columns": found.columns,
        "names": list(names),
        "preview": [
            [_shown(name, value) for name, value in zip(names, row, strict=True)]
            for row in found.rows
        ],
    }


def _shown(name: str, value: int) -> str:
    if name.endswith("_ns"):
        return iso(value)
    if name in {"side", "id"}:
        return str(value)
    return rate_text(value) if name == "rate" else decimal_text(value)
