"""Studies: what is measured and written down, beside the product, over its lab.

Each is a command: `python -m studies.fair_value`, `.calibration`, `.compare`, `.history`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from engine import log
from engine.__main__ import CommandModule, code_of
from engine.config import load
from engine.errors import PitbossError, os_sentence
from engine.redaction import Redactor


class Study(CommandModule, Protocol):
    """A command of its own, by its own name."""

    NAME: str


def main(study: Study, argv: Sequence[str] | None = None) -> int:
    """Run a study. Gives the exit code; an error leaves as one sentence."""
    parser = argparse.ArgumentParser(prog=f"python -m studies.{study.NAME}", description=study.HELP)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    study.add_arguments(parser)
    args = parser.parse_args(argv)
    redactor = Redactor()
    try:
        config = load(os.environ, Path(".env"))
        log.configure(level=config.log_level, redactor=redactor)
        return study.run(args, config)
    except (PitbossError, OSError) as error:
        said = os_sentence(error) if isinstance(error, OSError) else str(error)
        sys.stderr.write(f"{type(error).__name__}: {redactor.text(said)}\n")
        return code_of(error)
