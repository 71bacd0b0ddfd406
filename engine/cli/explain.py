"""`python -m engine explain`: make every kept plan again from the journal, and compare the bytes.

The why of an order that the pages show is a record of the decision log. This proves the record: the
journal, the intent of the decision and the book it saw give the same plan again, byte for byte, by
the same planner and the same rules of risk. It reads alone; an engine may trade meanwhile.
"""

from __future__ import annotations

import argparse

import msgspec

from engine.cli.arguments import say
from engine.config import Config
from engine.errors import BadInput
from engine.lab.explain.accounts import JournalAccounts, SettingsHistory
from engine.lab.explain.plans import PlanDifference, PlanVerification, PlanVerifier
from engine.log import iso
from storage.database import reading
from storage.journal import base_after, latest_snapshots, load, owner, thinned_to
from storage.settings import force_history
from storage.views.decision_history import every_plan

HELP = "rebuild every stored plan from the journal and compare it byte for byte"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account", help="only the plans of this account")


def run(args: argparse.Namespace, config: Config) -> int:
    """Repeat all plans. Exit code 1 where one came out otherwise."""
    found = verify_home(config, args.account)
    say(args, msgspec.to_builtins(found), words(found))
    return 1 if found.different or found.broken else 0


def verify_home(config: Config, account: str | None = None) -> PlanVerification:
    """Repeat the plans of a home. Raises BadInput where it holds no journal or no plan."""
    for path in (config.journal_path, config.decisions_path):
        if not path.exists():
            raise BadInput(f"{path} does not exist: nothing was planned in this home yet")
    # The plans first: the journal read after them holds at least what they were made of.
    plans = [one for one in every_plan(config.decisions_path) if account in (None, one[0].account)]
    with reading(config.state_path) as connection:
        versions = force_history(connection, owner(config.journal_path))
    settings: SettingsHistory = [
        (one.applied_ns, one.document) for one in versions if one.applied_ns is not None
    ]
    journal = config.journal_path
    with reading(journal) as connection:
        gone, _ = thinned_to(connection)
    # Of what is gone the next snapshot tells; without one there is no past to begin with.
    base = base_after(journal, gone) if gone else {}
    begin_seq, begin_ns = max(((one.seq, one.at_ns) for one in base.values()), default=(0, 0))
    engines = latest_snapshots(journal).by_name
    accounts = JournalAccounts(
        settings, lambda after_seq: load(journal, after_seq, thinned=True), engines, base
    )
    late = [one for one in plans if one[0].at_ns > begin_ns]
    found = PlanVerifier(accounts, late, config.decisions_path).run(load(journal, begin_seq))
    found.gone = len(plans) - len(late)
    return found


def words(found: PlanVerification) -> str:
    lines = [
        f"{found.same:,} of {found.plans:,} plans were rebuilt from the journal byte for byte "
        f"({found.records:,} records)"
    ]
    others = (
        (
            found.gone,
            "earlier ones cannot be rebuilt: their records were pruned under the disk budget",
        ),
        (found.idle, "more touched no order: they say what was left over, and why"),
        (found.by_hand, "more were placed by hand: they have no plan"),
        (found.untold, "could not be rebuilt: their book or their intent was not stored"),
        (found.unreached, "are still to come: the journal does not have their orders yet"),
        (found.cut, "ended with their engine: nothing of them was journaled"),
        (
            found.starts_unkept,
            "starts are not in the journal, an older version did not store them: "
            "what the engine knew there cannot be rebuilt",
        ),
    )
    lines += [f"{number:,} {said}" for number, said in others if number]
    lines += [difference(one) for one in found.different]
    lines += [f"BROKEN: {one}" for one in found.broken]
    if found.beyond:
        lines.append(f"{found.beyond:,} more come after such a place and prove nothing")
    return "\n".join(lines)


def difference(one: PlanDifference) -> str:
    head = f"DIFFERENT: {one.account}, {one.instrument} at {iso(one.at_ns)}"
    if one.again is None:
        return f"{head}: the journal's facts call for no plan"
    parts = [
        f"{name}: stored {getattr(one.kept, name)}, rebuilt {getattr(one.again, name)}"
        for name in one.kept.__struct_fields__
        if getattr(one.kept, name) != getattr(one.again, name)
    ]
    return f"{head}: {'; '.join(parts)}"
