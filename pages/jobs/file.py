"""The file a job wrote, offered to the browser: an export is of no use on a machine far away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from pages.kit import panels
from pages.kit.home import config

KIND = "export"
FOLDER = "exports"
MIMES = {".csv": "text/csv", ".json": "application/json"}


def file_of(result: Mapping[str, Any]) -> Path | None:
    """Return the file an export wrote, None where it is not one of ours or is gone."""
    path = Path(str(result.get("file", "")))
    ours = path.parent == config().home / FOLDER and path.suffix in MIMES
    return path if ours and path.is_file() else None


def offer(number: int, result: Mapping[str, Any]) -> None:
    """Draw the download of an export; a warning where it holds no row."""
    if result.get("rows") == 0:
        st.warning("It holds no row: nothing of that kind, mode and period is on record.")
    path = file_of(result)
    if path is None:
        panels.note("Its file is gone from this machine. Ask for the export again.")
        return
    st.download_button(
        f"Download {path.name}",
        path.read_bytes,  # read at the click alone: this part is drawn every 2 s
        file_name=path.name,
        mime=MIMES[path.suffix],
        key=f"export_file_{number}",
        on_click="ignore",
    )
