"""The form refuses what the engine's schedule could never post, and takes what people write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.live.commands.jobs import trigger_of
from pages.jobs import FIELDS, MONTHS, WEEKDAYS, in_words, trouble


@pytest.mark.parametrize(
    "cron", ["10 2 * * mon-fri", "*/5 * * * *", "0 0 1 jan *", "0,30 8-18/2 * * 0-4", "0 3 * * sun"]
)
def test_what_people_write_is_taken(cron: str) -> None:
    assert trouble(cron) == ""


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 25 * * *", "hour '25': it must be from 0 to 23"),
        ("0 2 0 * *", "day '0': it must be from 1 to 31"),
        ("61 * * * *", "minute '61': it must be from 0 to 59"),
        ("0 2 * * someday", "cannot be read"),
        ("0 2 * *", "five fields are needed"),
        ("0 5-2 * * *", "the start must not come after the end"),
    ],
)
def test_an_impossible_time_is_refused_in_words(cron: str, words: str) -> None:
    assert words in trouble(cron)


def fields() -> st.SearchStrategy[str]:
    number = st.integers(0, 61).map(str)
    name = st.sampled_from((*MONTHS[:2], *WEEKDAYS[:2], "nope"))
    end = st.one_of(number, name)
    part = st.one_of(
        st.just("*"),
        end,
        st.builds("{}-{}".format, end, end),
        st.builds("*/{}".format, number),
        st.builds("{}-{}/{}".format, number, number, number),
    )
    return st.lists(part, min_size=1, max_size=2).map(",".join)


@given(st.integers(0, len(FIELDS) - 1), fields())
def test_what_the_form_takes_the_schedule_can_post(place: int, field: str) -> None:
    words = ["*"] * len(FIELDS)
    words[place] = field
    cron = " ".join(words)
    if trouble(cron) == "":
        trigger_of(cron)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("10 2 * * *", "daily 02:10 UTC"),
        ("5 14 * * sun", "each Sunday 14:05 UTC"),
        ("5 14 * * mon-fri", "mon-fri 14:05 UTC"),
        ("*/5 * * * *", "every 5 min"),
        ("0 3 1 * *", "day 1 of each month 03:00 UTC"),
    ],
)
def test_a_plain_time_is_said_in_words(cron: str, words: str) -> None:
    assert in_words(cron) == words
