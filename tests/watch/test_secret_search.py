"""The search for channels' secrets finds each in every form, and none where none is."""

from __future__ import annotations

import base64
import gzip
import random
import sqlite3
import string
import subprocess
import sys
import zlib
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from storage.channels import KEY_NAME
from tests.watch.desks import Watched
from tests.watch.secret_search import SQLITE, search

SECRET = "an-example-of-a-secret"
"""The webhook's of `tests.watch.desks`."""
NOISE = "".join(random.Random(1).choices(string.ascii_letters, k=9_000)).encode()
"""Packed it is over a page of SQLite long, and no byte of it stands as it was."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    desk = Watched(tmp_path / "home")
    desk.add_channel("phone")
    desk.watch.stop(desk.now_ns)
    return desk.home


def in_a_database(raw: bytes) -> bytes:
    with closing(sqlite3.connect(":memory:")) as made:
        made.execute("CREATE TABLE t (body BLOB)")
        made.execute("INSERT INTO t VALUES (?)", (zlib.compress(NOISE + raw + NOISE),))
        made.commit()
        return made.serialize()


HIDDEN = {
    "plain": lambda raw: b"url=" + raw,
    "wide": lambda raw: raw.decode().encode("utf-16-le"),
    "hex": lambda raw: raw.hex().encode(),
    "base64": lambda raw: base64.b64encode(b"ab" + raw + b"c"),
    "zstd": lambda raw: b"BLK1" + zstandard.ZstdCompressor().compress(NOISE + raw),
    "a page's gzip": lambda raw: b"<p>" + base64.b64encode(gzip.compress(NOISE + raw)),
    "a database": in_a_database,
}


@pytest.mark.parametrize("form", HIDDEN)
def test_a_secret_is_found_in_every_form(form: str, home: Path) -> None:
    assert search(home).found == []
    data = HIDDEN[form](SECRET.encode())
    assert (form == "plain") == (SECRET.encode() in data)
    assert (form == "a database") == data.startswith(SQLITE)
    (home / "backups").mkdir()
    (home / "backups" / "leak").write_bytes(data)
    (said,) = search(home).found
    assert said.startswith("secret of channel phone: backups/leak")


def test_the_machines_key_may_stand_in_its_own_file_alone(home: Path) -> None:
    (home / "copy").write_bytes((home / KEY_NAME).read_bytes())
    assert search(home).found == ["the machine's key: copy"]


def test_a_secret_in_a_programs_environment_is_found(home: Path) -> None:
    environment = {"PITBOSS_HOME": str(home), "LEAK": SECRET}
    words = [sys.executable, "-c", "import sys; print(); sys.stdout.close(); sys.stdin.read()"]
    with subprocess.Popen(
        words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        program.stdout.readline()  # it has become that program
        done = search(home)
    assert done.programs == 1
    assert done.found == [f"secret of channel phone: the environment of process {program.pid}"]
