"""The digest of a journal, read back."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from storage.journal import Record
from storage.journal_writer import Digest


def digest_of(records: Iterable[Record]) -> str:
    digest = Digest()
    digest.add([(one.kind, one.at_ns, one.account, msgspec.Raw(one.body)) for one in records])
    return digest.text()
