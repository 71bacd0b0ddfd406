"""Text of others is shown letter by letter: as markdown reads it, and in a real browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from pages.kit.markdown import JOINER, literal
from pages.shared.alert import line
from tests.pages.desks import REPOSITORY, opened, until_answered
from tests.ports import free_port

QUESTIONS = (
    "Will Bitcoin reach $100,000 or $120,000 first in December?",
    "Will *any* of [Team A](x) or _Team B_ win :red[both] games?",
    "Will \u201c\u00dc\u00d1\u00cd \U0001f3b2\u201d be said ~~twice~~ by `noon`?",
    "\u05d4\u05d0\u05dd \u05d4\u05de\u05d7\u05d9\u05e8 $5 \u05dc\u05e4\u05e0\u05d9 $10?",
    "demo:comet-1 :name by cli:ann (:alpha:100:beta), paper:red :red flag :small a:badge",
    "1. a -> b -- c >= d, :tada: :material/home: :streamlit: at https://example.org or www.a.b",
    "    <b>indented</b> &amp; a|b snake_case _x_ me@example.org \\ {x} # y",
)


TAKEN_FOR_MARKS = ".katex, em, strong, del, code, a[href^=http], a[href^=mail]"

SHOWN = """
import streamlit as st
from pages.kit.markdown import literal
from tests.pages.test_markdown import QUESTIONS
for text in QUESTIONS:
    st.subheader(literal(text))
    st.markdown(literal(text))
    st.button(literal(text), key=text)
"""


@pytest.mark.long
def test_what_others_wrote_is_shown_letter_by_letter(browser: Browser, tmp_path: Path) -> None:
    script = tmp_path / "shown.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n{SHOWN}")
    port = free_port()
    served = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with opened(browser) as page:
            until_answered(f"http://127.0.0.1:{port}/_stcore/health", served)
            page.goto(f"http://127.0.0.1:{port}/")
            for kind in ("[data-testid=stHeading] h3", ".stMarkdown p", ".stButton p"):
                found = page.locator(kind)
                expect(found).to_have_count(len(QUESTIONS))
                for number, text in enumerate(QUESTIONS):
                    shown = found.nth(number).text_content() or ""
                    assert shown.replace(JOINER, "") == text.strip()
                assert found.locator(TAKEN_FOR_MARKS).count() == 0
    finally:
        served.kill()
        served.wait()


def test_a_plain_text_stays_as_it_is() -> None:
    text = "maker-1 paused: 3 orders, 61.5 USDC (at_once) at 12:30:05 UTC. No 5 of 7!"
    assert literal(text).replace(JOINER, "") == text


@pytest.mark.long
def test_lines_stay_lines_of_one_paragraph() -> None:
    assert literal("one\n\n- two") == "one  \n\\- two"


def test_the_title_of_an_alert_kind_is_text() -> None:
    row = {
        "kind": "<img src=x onerror=alert(1)>", "severity": "info", "text": "", "count": 1,
        "first_ns": 1, "last_ns": 1, "acked_ns": None, "acked_by": "", "bot": "", "instrument": "",
        "account": "",
    }  # fmt: skip
    assert "<img" not in line(row, 2)
