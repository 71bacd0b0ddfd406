"""No page gives Streamlit's markdown a text of others: every such text passes `literal`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[2] / "pages"
# The help's texts are all our own.
FILES = sorted(one for one in PAGES.rglob("*.py") if one.name != "help.py")

MARKDOWN = {
    "markdown", "title", "header", "subheader", "caption", "error", "warning", "info", "success",
    "toast", "metric", "badge", "button", "checkbox", "toggle", "radio", "expander", "popover",
    "tabs", "dialog", "progress", "status", "text_input", "text_area", "number_input", "selectbox",
    "multiselect", "segmented_control", "pills", "download_button", "link_button", "panel",
    "form_submit_button", "page_link", "Confirmation",
}  # fmt: skip
"""What takes markdown as its first words, of Streamlit and of our own."""

OURS = {"panel", "Confirmation"}

WORDS = {"label", "help", "body", "words", "text"}
"""Its named arguments that are markdown, too."""

ESCAPED_THERE = {"label", "title", "reason"}
"""Of a `Confirmation`: the dialog makes them literal."""

PASSED_ON = {"question.words", "text + last", "about", "min(1.0, share)", "row"}
"""Markdown that was judged where it was put together, and what is no text."""

SAFE_CALLS = {
    "literal", "count", "moment", "age", "percent", "money", "micro", "utc", "len", "in_column",
    "zone_short", "size", "_size", "bounds", "state_of", "words_of",
}  # fmt: skip
"""What gives numbers, times and units alone, or has made its text literal."""

SAFE_NAMES = {"mode", "number", "label", "labels", "leg", "side", "index", "version", "currency"}
SAFE_NAMES |= {"base_version", "stops", "more"}
"""Words of our own vocabulary, not of others."""


class Judge:
    """Says whether an expression of one function can hold a text of others."""

    def __init__(self, function: ast.AST) -> None:
        self._given: dict[str, list[ast.expr]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._assign(target, node.value)
            elif isinstance(node, ast.AugAssign | ast.AnnAssign) and node.value is not None:
                self._assign(node.target, node.value)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._given.setdefault(target.id, []).append(value)
        elif isinstance(target, ast.Tuple):
            values = value.elts if isinstance(value, ast.Tuple) else [value] * len(target.elts)
            for one, given in zip(target.elts, values, strict=False):
                self._assign(one, given)

    def safe(self, one: ast.expr | None, seen: frozenset[str] = frozenset()) -> bool:
        match one:
            case None | ast.Constant():
                return True
            case ast.JoinedStr(values):
                return all(self.safe(value, seen) for value in values)
            case ast.FormattedValue(value=value, format_spec=spec):
                numeric = spec is not None and ast.unparse(spec).strip("f'\"")[-1:] in ",fdg%"
                return numeric or self.safe(value, seen)
            case ast.IfExp(body=body, orelse=orelse):
                return self.safe(body, seen) and self.safe(orelse, seen)
            case ast.BoolOp(values=values):
                return all(self.safe(value, seen) for value in values)
            case ast.BinOp(left=left, op=op, right=right):
                if isinstance(op, ast.Mult):
                    return self.safe(left, seen)
                return self.safe(left, seen) and self.safe(right, seen)
            case ast.Subscript(value=value):
                return self.safe(value, seen)
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return all(self.safe(part, seen) for part in parts)
            case ast.Starred(value=value):
                return self.safe(value, seen)
            case ast.Call(func=called, args=args):
                name = called.attr if isinstance(called, ast.Attribute) else ast.unparse(called)
                if name == "join":
                    return self.safe(args[0], seen)
                if name in {"upper", "lower", "capitalize", "strip", "rstrip", "get"}:
                    return self.safe(called.value, seen)  # type: ignore[union-attr]
                return name in SAFE_CALLS
            case ast.Attribute(attr=attr):
                return attr.isupper() or attr in SAFE_NAMES
            case ast.Name(id=name):
                if name.isupper() or name in SAFE_NAMES:
                    return True
                given = self._given.get(name, []) if name not in seen else []
                return bool(given) and all(self.safe(value, seen | {name}) for value in given)
            case ast.ListComp(elt=elt) | ast.GeneratorExp(elt=elt):
                return self.safe(elt, seen)
        return False


def functions(tree: ast.Module) -> Iterator[ast.AST]:
    """Give every function of a file; what stands outside of all is one more."""
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def found_in(source: str) -> list[str]:
    """Return `line: text` of every argument that is markdown and may be a text of others."""
    found = set()
    for function in functions(ast.parse(source)):
        judge = Judge(function)
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if isinstance(node.func, ast.Name) and node.func.id in OURS:
                name = node.func.id
            if name not in MARKDOWN:
                continue
            named = WORDS - ESCAPED_THERE if name == "Confirmation" else WORDS
            given = [*node.args[:1], *(k.value for k in node.keywords if k.arg in named)]
            found |= {
                f"{one.lineno}: {text}"
                for one in given
                if (text := ast.unparse(one)) not in PASSED_ON and not judge.safe(one)
            }
    return sorted(found, key=lambda line: int(line.partition(":")[0]))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PAGES)))
def test_what_others_have_written_is_shown_letter_by_letter(file: Path) -> None:
    assert found_in(file.read_text(encoding="utf-8")) == []
