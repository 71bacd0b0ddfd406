"""Redaction: what must never be logged, stored in clear or shown is taken out of any value.

Three nets, because each has holes: secrets the engine has read are known by their text and hidden
wherever they stand; fields, headers and assignments with a telling name are hidden whole; hex as
long as a private key is hidden anywhere but under the names of public things. Condition ids, order
digests and transaction hashes look exactly like private keys, so they are let through by their
field's name, or behind the name of a venue and a colon, and nowhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

import msgspec

from engine.errors import ConfigError
from engine.plugins import venue_names

HIDDEN = "[hidden]"
SECRET_CHARACTERS_MIN = 6
"""A shorter secret would be hidden inside innocent words and could be guessed anyway."""

DEPTH_MAX = 16
TEXT_CHARACTERS_MAX = 20_000
EDGE_CHARACTERS_MIN = 1_000
"""So much before the end of what is looked at is not shown: half a secret looks like none."""

INT64 = 1 << 63
KEY_DIGITS = 64

_SENSITIVE = (
    r"private|secret|passphrase|passw(?:or)?d|mnemonic|signature|authorization|cookie|credential"
    r"|bearer|api[_-]?key|(?:access|refresh|session|bot)[_-]?token|poly[_-]\w+"
)
_SENSITIVE_NAME = re.compile(_SENSITIVE, re.IGNORECASE)
_SENSITIVE_TEXT = re.compile(
    rf"(?P<name>(?:{_SENSITIVE})[\w-]*[\"']?\s*(?:[:=]|,\s*(?=b?[\"']))\s*)"
    r"(?P<value>b?\"(?:\\.|[^\"\\])*(?:\"|$)|b?'(?:\\.|[^'\\])*(?:'|$)|[^\r\n]+)",
    re.IGNORECASE,
)
"""`name: value`, `name=value`, `"name": "value"`, `('name', 'value')`; unquoted = to its end."""

_URL_PASSWORD = re.compile(r"(?P<before>\w://[^\s/@:]*:)[^\s/]+(?=@)")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END[A-Z -]*-----|$)", re.DOTALL)
_LONG_HEX = re.compile(r"(?:0x)?[0-9a-f]{64,}", re.IGNORECASE)
_PUBLIC_NAME = re.compile(
    r"instrument|market|condition(_?id)?|identity|digest|hash|transaction_?hash|sha256|token_?id",
    re.IGNORECASE,
)


_PUBLIC_BEFORE = tuple(f"{name}:" for name in venue_names())


class Redactor:
    """Hides secrets in values and texts. Tell it every secret as soon as it is read."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        self._edge = EDGE_CHARACTERS_MIN
        self._known: re.Pattern[str] | None = None
        for secret in secrets:
            self.know(secret)

    def know(self, secret: str) -> None:
        """Hide this text everywhere from now on, in each form it may be written."""
        if len(secret) < SECRET_CHARACTERS_MIN:
            raise ConfigError(
                f"a secret of fewer than {SECRET_CHARACTERS_MIN} characters hides nothing here: "
                "check that it was copied in full"
            )
        bare = secret[2:] if secret[:2].lower() == "0x" else secret
        for text in {secret, bare if len(bare) >= SECRET_CHARACTERS_MIN else secret}:
            self._forms |= {
                text,
                json.dumps(text)[1:-1],
                json.dumps(text, ensure_ascii=False)[1:-1],
                repr(text)[1:-1],
                quote(text),
                quote(text, safe=""),
            }
        longest_first = sorted(self._forms, key=lambda form: (-len(form), form))
        self._edge = max(EDGE_CHARACTERS_MIN, len(longest_first[0]))
        self._known = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)

    def text(self, text: str, *, public: bool = False) -> str:
        """Return the text without secrets; `public` lets one id of 64 hex digits stand."""
        seen = text[: TEXT_CHARACTERS_MAX + self._edge]
        clean = seen.encode("utf-8", "backslashreplace").decode("utf-8")
        if self._known is not None:
            clean = self._known.sub(HIDDEN, clean)
        clean = _PEM.sub(HIDDEN, clean)
        clean = _SENSITIVE_TEXT.sub(_keep_name, clean)
        clean = _URL_PASSWORD.sub(rf"\g<before>{HIDDEN}", clean)
        if not (public and len(clean.removeprefix("0x")) == KEY_DIGITS):
            clean = _LONG_HEX.sub(_keep_public, clean)
        if len(seen) < len(text):
            clean = clean[: -self._edge]
        if len(seen) < len(text) or len(clean) > TEXT_CHARACTERS_MAX:
            clean = clean[:TEXT_CHARACTERS_MAX] + f"… ({len(text):,} characters)"
        return clean

    def value(self, value: object, name: str = "", depth: int = 0) -> object:
        """Return a JSON-ready copy without secrets. `name` is the field the value stands under."""
        if _SENSITIVE_NAME.search(name):
            return HIDDEN
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int) and -INT64 <= value < INT64:
            return int(value)
        if isinstance(value, str):
            return self.text(value, public=bool(_PUBLIC_NAME.fullmatch(name)))
        if isinstance(value, bytes | bytearray | memoryview):
            return self.text(bytes(value).decode("utf-8", "backslashreplace"))
        if depth >= DEPTH_MAX:
            return "… (too deep)"
        return self._whole(value, depth + 1)

    def _whole(self, value: object, depth: int) -> object:
        if isinstance(value, msgspec.Struct):
            value = msgspec.structs.asdict(value)
        if isinstance(value, Mapping):
            return {
                self.text(str(key), public=True): self.value(item, str(key), depth)
                for key, item in value.items()
            }
        if isinstance(value, set | frozenset):
            return sorted((self.value(item, "", depth) for item in value), key=repr)
        if isinstance(value, list | tuple):
            # Headers travel as pairs: ("POLY_PASSPHRASE", "…").
            pair = len(value) == 2 and isinstance(value[0], str | bytes)
            name = _as_text(value[0]) if pair else ""
            return [
                self.value(item, name if number else "", depth) for number, item in enumerate(value)
            ]
        if isinstance(value, BaseException):
            return self.text(f"{type(value).__name__}: {value}")
        return self.text(str(value))


def _as_text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")


def _keep_name(found: re.Match[str]) -> str:
    return f"{found['name']}{HIDDEN}"


def _keep_public(found: re.Match[str]) -> str:
    digits = found[0].lower().removeprefix("0x")
    decimal = digits == found[0] and digits.isdecimal()
    if decimal:
        # A token id: 256 bits in decimal. A key in hex has a letter, but for one in 10^13.
        return found[0]
    behind_venue = found.string[: found.start()].endswith(_PUBLIC_BEFORE)
    return found[0] if behind_venue and len(digits) == KEY_DIGITS else HIDDEN
