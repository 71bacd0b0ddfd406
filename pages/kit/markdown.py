"""Text of others in Streamlit's markdown: a market's title, a venue's answer, a typed name.

Streamlit takes markdown wherever it takes words: `$5 or $10` becomes a formula, `*any*` italics.
"""

from __future__ import annotations

import re

JOINER = "\N{WORD JOINER}"
"""Shows nothing, and keeps two letters from being taken for one sign."""

_SIGNS = re.compile(
    r"[\\`*\[\]<>$~|{}]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # within a word it is a letter
    r"|&(?=#?\w+;)"
    r"|(?<!\w):(?=[a-zA-Z])|:(?=(?:red|orange|yellow|green|blue|violet|gray|grey|rainbow|primary|"
    r"small|badge)\b)"  # a directive, also without its brackets
)
_LINE_BEGINS = re.compile(r"^[ \t]*(?:([#+=-])|(\d+)([.)])(?=\s|$))?", re.MULTILINE)
_ARROWS = re.compile(r"(?<!\S)(?=(?:<->|->|<-|--|>=|<=|~=)(?!\S))(.)")
_EMOJI = re.compile(r":(?=(?:[\w+/-]*[a-zA-Z+-][\w+/-]*|100|1234):)")
_ADDRESS = re.compile(r"(?<=\w)@(?=\w)|:(?=//)|(?<=www)(?=\.)", re.IGNORECASE)


def literal(text: object) -> str:
    """Return markdown that shows a text letter by letter, in one paragraph.

    Covers CommonMark, GitHub's ~~words~~, Streamlit's formulas and `:red[words]`, and what is
    replaced after the markdown was read: `:emoji:`, `:material/icon:`, bare addresses, arrows and
    dashes between blanks.
    """
    kept = _ARROWS.sub(rf"\1{JOINER}", _EMOJI.sub(f":{JOINER}", str(text)))
    kept = _ADDRESS.sub(rf"\g<0>{JOINER}", kept)
    kept = _SIGNS.sub(lambda found: f"\\{found[0]}", kept)
    return re.sub(r"\n+", "  \n", _LINE_BEGINS.sub(_line_begin, kept))


def _line_begin(found: re.Match[str]) -> str:
    sign, number, dot = found.groups()
    return f"\\{sign}" if sign else f"{number}\\{dot}" if number else ""
