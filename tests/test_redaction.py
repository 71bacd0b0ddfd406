from __future__ import annotations

import ast
import json
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.redaction import (
    DEPTH_MAX,
    EDGE_CHARACTERS_MIN,
    HIDDEN,
    SECRET_CHARACTERS_MIN,
    TEXT_CHARACTERS_MAX,
    Redactor,
)

KEY = "0x" + "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
SIGNATURE = "0x" + "9f" * 65
API_SECRET = "Zm9v/YmFy+c2VjcmV0=="
NAMES = ["private_key", "apiSecret", "passphrase", "POLY_SIGNATURE", "Authorization", "api-key"]


class Reply(msgspec.Struct):
    passphrase: str
    note: str


def nested(leaf: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Values as deep and as mixed as anything that is logged."""
    names = st.text(st.characters(categories=["Ll"]), max_size=8)
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.tuples(inner, inner),
            st.dictionaries(names, inner, max_size=3),
            inner.map(lambda value: ValueError("venue said", value)),
            inner.map(lambda value: Reply(passphrase="x", note=f"{value}")),
        ),
        max_leaves=8,
    )


SECRETS = st.text(min_size=SECRET_CHARACTERS_MIN, max_size=40).filter(
    lambda text: text.strip() == text and text not in "[hidden] (characters) … too deep venue said"
)


def shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


# Drawn once for an example, wherever it lies in it: to make the strategy of a nested value for each
# secret took ten times as long as all the rest.
SECRET = st.shared(SECRETS, key="secret")
BEHIND = st.tuples(st.shared(st.text(max_size=5), key="before"), SECRET).map("".join)


@given(secret=SECRET, value=nested(SECRET | BEHIND | st.integers()))
def test_known_secret_never_appears_however_deep_it_lies(secret: str, value: object) -> None:
    redactor = Redactor([secret])
    clean = shown(redactor.value({"field": value, "instrument": secret, secret: 1}))
    assert secret not in clean
    assert json.dumps(secret)[1:-1] not in clean


@given(value=nested(st.sampled_from([KEY, KEY[2:], KEY.upper(), f"key {KEY}.", SIGNATURE, 7])))
def test_private_key_nobody_announced_never_appears(value: object) -> None:
    clean = shown(Redactor().value({"field": value})).lower()
    assert KEY[2:] not in clean
    assert SIGNATURE[2:] not in clean


@given(value=nested(st.text(min_size=1) | st.integers() | st.binary() | st.none()))
def test_field_with_a_telling_name_is_hidden_whole(value: object) -> None:
    for name in NAMES:
        clean = Redactor().value({"outer": [{name: value}]})
        assert clean == {"outer": [{name: HIDDEN}]}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "text",
    [
        "{name}={secret}",
        "{name}: {secret}",
        "refused: {name} = {secret} (status 401)",
        '{{"{name}": "{secret}", "size": 5}}',
        "{{'{name}': '{secret}'}}",
        "[('{name}', '{secret}'), (b'{name}', b'{secret}')]",
        "https://venue/orders?size=1&{name}={secret}&x=1",
    ],
)
def test_secret_in_a_text_is_hidden_by_the_name_before_it(name: str, text: str) -> None:
    clean = Redactor().text(text.format(name=name, secret=API_SECRET))
    assert "Zm9v" not in clean
    assert "YmFy" not in clean
    assert name in clean


def test_headers_as_pairs_are_hidden_by_their_names() -> None:
    headers = [("POLY_PASSPHRASE", "abc"), (b"authorization", b"Bearer abc"), ("Accept", "json")]
    assert Redactor().value(headers) == [
        ["POLY_PASSPHRASE", HIDDEN],
        ["authorization", HIDDEN],
        ["Accept", "json"],
    ]


def test_password_in_an_address_is_hidden_and_the_rest_stays() -> None:
    clean = Redactor().text("cannot open postgresql://trader:p@ss:word@db:5432/pitboss now")
    assert clean == f"cannot open postgresql://trader:{HIDDEN}@db:5432/pitboss now"


def test_pem_block_is_hidden() -> None:
    pem = "-----BEGIN EC PRIVATE KEY-----\nMHQCAQEE\n-----END EC PRIVATE KEY-----"
    assert Redactor().text(f"read {pem} ok") == f"read {HIDDEN} ok"


def test_known_secret_is_hidden_escaped_quoted_and_without_its_prefix() -> None:
    redactor = Redactor([KEY, 'a"b\\c/é+d'])
    for text in [KEY[2:], KEY.upper(), json.dumps('a"b\\c/é+d'), "a%22b%5Cc%2F%C3%A9%2Bd"]:
        assert redactor.text(f"x {text} y").count(HIDDEN) == 1


@pytest.mark.parametrize("name", ["instrument", "market", "condition_id", "identity", "hash"])
def test_public_ids_stay_readable_under_their_names(name: str) -> None:
    identity = "0x" + "cd" * 32
    assert Redactor().value({name: identity}) == {name: identity}
    assert Redactor().value({name: identity + "00"}) == {name: HIDDEN}


def test_instrument_stays_readable_anywhere_and_a_known_key_does_not() -> None:
    instrument = "polymarket:" + KEY
    assert Redactor().text(f"{instrument}: price is off tick") == f"{instrument}: price is off tick"
    assert KEY[2:] not in str(Redactor([KEY]).value({"instrument": instrument}))


def test_token_id_stays_readable() -> None:
    token = "7" * 77
    assert Redactor().value({"token": token, "text": f"asset {token}"}) == {
        "token": token,
        "text": f"asset {token}",
    }


def test_plain_values_keep_their_kind() -> None:
    value = {"a": 1, "b": 1.5, "c": None, "d": True, "e": "text", "f": [1, (2, 3)], "g": {2, 1}}
    assert Redactor().value(value) == {**value, "f": [1, [2, 3]], "g": [1, 2]}
    assert Redactor().value(OrderedDict(x=Path("var"))) == {"x": "var"}
    assert Redactor().value({"big": 1 << 70}) == {"big": str(1 << 70)}


def test_structure_without_end_is_cut() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert "too deep" in shown(Redactor().value(endless))
    assert shown(Redactor().value(endless)).count("[") == DEPTH_MAX


def test_long_text_is_cut_after_it_was_cleaned() -> None:
    clean = Redactor().text("a " * (TEXT_CHARACTERS_MAX // 2 - 10) + KEY + " b" * 100)
    assert len(clean) < TEXT_CHARACTERS_MAX + 50
    assert KEY[:10] not in clean


@pytest.mark.sampled(1)
@pytest.mark.parametrize("secret", [KEY, "a passphrase of some length", "x" * 3_000])
def test_of_a_text_that_is_cut_no_piece_of_a_secret_is_left(secret: str) -> None:
    redactor = Redactor() if secret is KEY else Redactor([secret])
    for before in range(TEXT_CHARACTERS_MAX - 50, TEXT_CHARACTERS_MAX + 1_100, 61):
        for start in ("b " * (before // 2), f"{KEY} " * (before // 67)):
            clean = redactor.text(f"{start}{secret}" + " c" * 9_000)
            assert secret[:12] not in clean
            assert clean.endswith("characters)")


def test_of_a_long_text_no_more_is_worked_through_than_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    class Counting:
        def sub(self, to: str, text: str) -> str:
            seen.append(len(text))
            return text.replace("\0", to)

    monkeypatch.setattr("engine.redaction._PEM", Counting())
    assert Redactor().text("a " * 5_000_000).endswith("… (10,000,000 characters)")
    assert seen == [TEXT_CHARACTERS_MAX + EDGE_CHARACTERS_MIN]


def test_half_a_character_does_not_break_the_line() -> None:
    assert Redactor().text("\ud800x") == "\\ud800x"


def test_secret_too_short_to_hide_is_refused() -> None:
    with pytest.raises(ConfigError, match="copied in full"):
        Redactor(["abc"])


def sentences(path: Path) -> Iterator[str]:
    """Give what a file may say to a person: its texts of several words, docstrings left out."""
    tree = ast.parse(path.read_text())
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in silent:
            continue
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        said = "".join(
            str(one.value) if isinstance(one, ast.Constant) else "x"
            for one in parts
            if isinstance(one, ast.Constant | ast.FormattedValue)
        )
        if isinstance(node, ast.JoinedStr | ast.Constant) and len(said.split()) > 3:
            yield said


@pytest.mark.long
def test_no_sentence_of_the_engine_is_taken_for_a_secret() -> None:
    said = [
        one
        for path in (Path(__file__).parents[1] / "engine").rglob("*.py")
        for one in sentences(path)
    ]
    assert len(said) > 1_000
    assert [one for one in said if Redactor().text(one) != one] == []
