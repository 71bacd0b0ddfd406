"""Help: a tour of five steps, what each page shows, words, the way to real money, shortcuts."""

from __future__ import annotations

import streamlit as st

from pages.help.texts import CHECKLIST, LOOKING_AT, SHORTCUTS, TOUR
from pages.kit import guard, panels
from pages.shared.glossary import GLOSSARY

TOPICS = ("Tour", "What am I looking at", "Glossary", "Going live", "Shortcuts")


def tour() -> None:
    """Draw the five steps of a first visit."""
    for number, (title, page, text) in enumerate(TOUR, start=1):
        with st.container(border=True):
            st.markdown(f"**{number}. {title}**  \n{text}")
            if page:
                panels.links(panels.link(f"Go to {page.capitalize()}", page))


def glossary() -> None:
    """Draw words with their meaning, those that fit the search alone."""
    wanted = st.text_input("Search", placeholder="any word, then Enter", key="help_search").lower()
    found = {name: text for name, text in GLOSSARY.items() if wanted in f"{name} {text}".lower()}
    if found:
        panels.facts(found)
    else:
        panels.empty("No word fits.", "Clear the search to see all of them.")


def going_live() -> None:
    """Draw what stands between this desk and real money."""
    st.markdown(
        "**No order of this program has ever reached a venue with real money.** Live accounts at "
        "Polymarket are proven against a fake of it only; each stays locked until its own steps "
        "are done (Settings, Live accounts). What must be true first:"
    )
    for text, possible in CHECKLIST:
        mark = ":material/check_box_outline_blank:" if possible else ":material/block:"
        st.markdown(f"{mark} {text}{'' if possible else ' (not possible yet)'}")


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Help", "Written with the program; nothing here needs an engine")
    topic = st.segmented_control(
        "Topic", TOPICS, default=TOPICS[0], key="help_topic", required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    if topic == TOPICS[0]:
        tour()
    elif topic == TOPICS[1]:
        panels.facts(LOOKING_AT)
    elif topic == TOPICS[2]:
        glossary()
    elif topic == TOPICS[3]:
        going_live()
    else:
        panels.facts(SHORTCUTS)


main()
