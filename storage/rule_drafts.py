"""The rule a person edits, kept while the editor is open."""

from __future__ import annotations

import msgspec

from storage.page_drafts import PageDrafts


class RuleDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it was typed so far: it need not be a rule yet."""

    document: dict[str, object]


RULE_DRAFTS = PageDrafts("rule_drafts", RuleDraft, "rule")
