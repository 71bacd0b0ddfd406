"""What stands in a flight report: the figures of a span, read from the state database.

Modes and currencies never mix: each row names its own. A figure of now that is not kept over time
says so beside it, and what is not kept at all is listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from sqlite3 import Connection

from engine.domain.alerts import described
from engine.domain.jobs.report import ReportPeriod
from engine.domain.limits import LIMITS
from engine.domain.plain import PlainDict
from engine.domain.setting_places import place_of
from engine.domain.words import many
from engine.errors import BadInput
from storage import settings
from storage.alert_rules import zone_refusal
from storage.database import dicts
from storage.live import FUNDED
from storage.markouts import AT_RESOLUTION
from storage.reports import (
    SECOND_NS,
    FlightReport,
    ReportAlerts,
    ReportSection,
    ReportSpan,
    alerts_of,
    moment,
    name_of,
    span_of,
)
from storage.settings_paths import names_of

CHANGES_MAX = 40
"""Values of the settings that are listed one by one."""

NONE, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
LACKS = (
    "The use of limits over time: it stands as it was when this report was made.",
    "How often a divergence was found within the span: the counts are of all time, each raised an "
    "alert.",
    "Fees of orders that made no fill, and what running the machine costs.",
    "The equity of accounts while no engine ran.",
)
_OWNERS = "SELECT DISTINCT account, bot, mode FROM positions WHERE engine_id = ? ORDER BY 3, 1, 2"
_POINT = (
    f"SELECT currency, realised_micro, fees_micro, unrealised_micro, {FUNDED} AS funding_micro "  # noqa: S608 our own words
    "FROM pnl t WHERE engine_id = ? AND account = ? AND bot = ? AND at_ns < ? "
    "ORDER BY at_ns DESC LIMIT 1"
)
_EQUITY = (
    "SELECT equity_mid_micro, redeemable_micro FROM equity WHERE engine_id = ? AND account = ? "
    "AND at_ns < ? ORDER BY at_ns DESC LIMIT 1"
)
_MOVES = (
    "SELECT coalesce(sum(amount_micro) FILTER (WHERE kind = 'deposit'), 0) AS deposits, "
    "coalesce(sum(amount_micro) FILTER (WHERE kind NOT IN ('deposit', 'funding')), 0) AS income "
    "FROM cash_moves WHERE engine_id = ? AND account = ? AND at_ns >= ? AND at_ns < ?"
)
_FALL = (
    "SELECT max(peak - value) AS fall, max(1.0 * (peak - value) / nullif(peak, 0)) AS share FROM "
    "(SELECT equity_mid_micro AS value, max(equity_mid_micro) OVER (ORDER BY at_ns) AS peak "
    "FROM equity WHERE engine_id = ? AND account = ? AND at_ns >= ? AND at_ns < ?)"
)
_FILLS = (
    "SELECT f.mode, a.currency, f.state, count(*) AS fills, sum(f.value_micro) AS value, "
    "sum(f.fee_micro) AS fees FROM fills f JOIN accounts a USING (engine_id, account) "
    "WHERE f.engine_id = ? AND f.at_ns >= ? AND f.at_ns < ? GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
_MARKOUTS = (
    "SELECT m.mode, m.account, m.bot, m.horizon_ms, count(m.markout_micro) AS known, "
    "m.leg = 'base' AS in_bps, avg(iif(m.leg = 'base', 10000.0 * m.markout_micro / m.price_micro, "
    "m.markout_micro)) AS mean, count(*) - count(m.markout_micro) AS unknown FROM fills f "
    "JOIN markouts m ON m.engine_id = f.engine_id AND m.account = f.account AND m.fill = f.id "
    "WHERE f.engine_id = ? AND f.at_ns >= ? AND f.at_ns < ? "
    "GROUP BY 1, 2, 3, 4, 6 ORDER BY 1, 2, 3, 6, m.horizon_ms = 0, 4"
)
_GAPS = (
    "SELECT feed, count(*) AS gaps, sum(min(coalesce(until_ns, ?3), ?3) - max(since_ns, ?2)) AS "
    "whole, max(min(coalesce(until_ns, ?3), ?3) - max(since_ns, ?2)) AS longest FROM feed_gaps "
    "WHERE engine_id = ?1 AND since_ns < ?3 AND coalesce(until_ns, ?3) > ?2 GROUP BY 1 ORDER BY 3 "
    "DESC"
)
_REWARDS = (
    "SELECT mode, account, currency, kind, count(*) AS payments, sum(amount_micro) AS amount "
    "FROM cash_moves WHERE engine_id = ? AND at_ns >= ? AND at_ns < ? AND kind != 'deposit' "
    "GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 4"
)
_LIMITS = (
    "SELECT mode, account, name, subject, max(1.0 * used / limit_value) AS share FROM limit_use "
    "WHERE engine_id = ? AND limit_value > 0 GROUP BY 1, 2, 3 ORDER BY 1, 2, share DESC"
)
_CHECKS = (
    "SELECT mode, account, checks, differed, differed_ns, text FROM equity_checks "
    "WHERE engine_id = ? ORDER BY mode, account"
)
_PHASES = (
    "SELECT phase, count(*) AS times, max(at_ns) AS last FROM engine_phases WHERE engine_id = ? "
    "AND at_ns >= ? AND at_ns < ? AND phase IN ('INIT', 'STOPPED', 'RECOVERY') GROUP BY 1 "
    "ORDER BY 1"
)
_CLOSES = (
    "SELECT h.mode, h.account, coalesce(t.title, h.instrument) AS market, i.closes_ns, "
    "h.value_micro, h.currency FROM holdings h JOIN instruments i ON i.engine_id = h.engine_id "
    "AND i.id = h.instrument LEFT JOIN titles t ON t.engine_id = h.engine_id "
    "AND t.instrument = h.instrument WHERE h.engine_id = ? AND h.opened_ns IS NOT NULL "
    "AND i.closes_ns >= ? AND i.closes_ns < ? ORDER BY i.closes_ns LIMIT 100"
)


def made_report(
    connection: Connection, engine_id: str, period: ReportPeriod, now_ns: int, home: Path
) -> FlightReport:
    """Return the report of the last whole period in the operator's zone; nothing is written.

    What the watch found is read from its own file in `home`.

    A zone that this machine does not know, saved before zones were judged, is UTC and said so.
    """
    zone, lacks = settings.in_force(connection, engine_id).document.alerts.zone, [*LACKS]
    if why := zone_refusal(zone):
        zone = "UTC"
        lacks.append(f"Your time zone: {why}. This report goes by UTC.")
    span = span_of(period, zone, now_ns)
    alerts = alerts_of(connection, engine_id, span, home)
    if alerts.lacks:
        lacks.append(alerts.lacks)
    figures = Figures(connection, engine_id, span, zone, now_ns)
    return FlightReport(
        name=name_of(period, zone, span),
        period=period,
        span=span,
        made_ns=now_ns,
        zone=zone,
        headline=figures.headline(alerts),
        sections=figures.sections(alerts),
        lacks=tuple(lacks),
    )


class Figures:
    """Reads the figures of one span, a section each. `made_ns` is now."""

    def __init__(
        self, connection: Connection, engine_id: str, span: ReportSpan, zone: str, made_ns: int
    ) -> None:
        self._connection = connection
        self._engine_id = engine_id
        self._span = span
        self._zone = zone
        self._made_ns = made_ns
        self._accounts = dicts(
            connection,
            "SELECT account, mode, currency FROM accounts WHERE engine_id = ? ORDER BY 2, 1",
            (engine_id,),
        )
        self._valued = {
            row["account"]
            for row in self._within(
                "SELECT DISTINCT account FROM equity "
                "WHERE engine_id = ? AND at_ns >= ? AND at_ns < ?"
            )
        }
        """Accounts whose equity was seen in the span: each minute that an engine runs."""
        self.made_by = list(self._owners())
        """What each owner made in the span, in micro-units."""

    def sections(self, alerts: ReportAlerts) -> tuple[ReportSection, ...]:
        """Return all of it, in the order of a report."""
        return (
            self._equity(),
            self._by_owner(),
            self._fills(),
            self._drawdown(),
            self._markouts(),
            self._rewards(),
            self._limits(),
            self._divergences(),
            _alerts(alerts),
            self._gaps(),
            self._phases(),
            self._settings(),
            self._next(),
        )

    def headline(self, alerts: ReportAlerts) -> tuple[str, ...]:
        """Return the short text: what each account made, and what a person should look at."""
        found = []
        kinds = sorted({(one["mode"], one["currency"]) for one in self._accounts})
        ran = bool(self._valued or self._within(_PHASES))
        for mode, currency in kinds if ran else ():
            own, made_by = (
                [row for row in rows if (row["mode"], row["currency"]) == (mode, currency)]
                for rows in (self._accounts, self.made_by)
            )
            said = "no account was valued in this time: what was made is not known."
            if any(one["account"] in self._valued for one in own):
                made = sum(row["made"] for row in made_by)
                said = f"bots and manual orders made {_gain(made)} {currency}."
            found.append(f"{mode.upper()}: {said}")
        if kinds and not ran:
            found.append("No engine ran in this time: there is nothing to report of it.")
        fills = self._within(
            "SELECT count(*) AS n FROM fills WHERE engine_id = ? AND at_ns >= ? AND at_ns < ?"
        )[0]["n"]
        critical = sum(row["alerts"] for row in alerts.rows if row["severity"] == "critical")
        unseen = sum(row["unseen"] for row in alerts.rows)
        found.append(
            f"{many(fills, 'fill')}. {many(critical, 'critical alert')}, "
            f"{many(unseen, 'alert')} unseen."
            + " What the watch found is not known."
            * bool(alerts.lacks)
        )
        return tuple(found) if self._accounts else ("No account traded yet.", *found)

    def _within(self, sql: str) -> list[PlainDict]:
        span = self._span
        return dicts(self._connection, sql, (self._engine_id, span.since_ns, span.until_ns))

    def _owners(self) -> Iterator[PlainDict]:
        """Give what each owner made in the span: the last point in it less the last before it."""
        ends = (self._span.since_ns, self._span.until_ns)
        for one in dicts(self._connection, _OWNERS, (self._engine_id,)):
            whose = (self._engine_id, one["account"], one["bot"])
            before, after = (dicts(self._connection, _POINT, (*whose, at)) for at in ends)
            if not after or one["account"] not in self._valued:
                continue
            moved = {
                name: after[0][f"{name}_micro"] - (before[0][f"{name}_micro"] if before else 0)
                for name in ("realised", "fees", "funding", "unrealised")
            }
            made = moved["realised"] - moved["fees"] + moved["funding"] + moved["unrealised"]
            yield {**one, **moved, "made": made, "currency": after[0]["currency"]}

    def _by_owner(self) -> ReportSection:
        rows = tuple(
            (
                row["mode"].upper(),
                row["account"],
                row["bot"],
                row["currency"],
                *(_gain(row[name]) for name in ("realised", "unrealised")),
                _money(row["fees"]),
                _gain(row["funding"]),
                _gain(row["made"]),
            )
            for row in self.made_by
        )
        return ReportSection(
            title="PnL per owner",
            columns=(
                "Mode",
                "Account",
                "Owner",
                "Currency",
                "Realised",
                "Unrealised",
                "Fees",
                "Funding",
                "PnL",
            ),
            rows=rows,
            words=4,
            note="PnL = realised + funding + change of unrealised, less fees, at mid.",
        )

    def _equity(self) -> ReportSection:
        rows = []
        for one in self._accounts:
            whose, span = (self._engine_id, one["account"]), self._span
            start, end = (
                dicts(self._connection, _EQUITY, (*whose, at))
                for at in (span.since_ns, span.until_ns)
            )
            if not end or one["account"] not in self._valued:
                rows.append((one["mode"].upper(), one["account"], one["currency"], *[NONE] * 7))
                continue
            (moves,) = dicts(self._connection, _MOVES, (*whose, span.since_ns, span.until_ns))
            before = start[0]["equity_mid_micro"] if start else 0
            after = end[0]["equity_mid_micro"]
            made = sum(row["made"] for row in self.made_by if row["account"] == one["account"])
            rest = after - before - made - moves["deposits"] - moves["income"]
            rows.append(
                (
                    one["mode"].upper(),
                    one["account"],
                    one["currency"],
                    _money(before),
                    _money(after),
                    _gain(after - before),
                    _gain(made),
                    _gain(moves["deposits"]),
                    _gain(moves["income"]),
                    _gain(rest),
                )
            )
        return ReportSection(
            title="Equity, and where its change comes from",
            columns=(
                "Mode",
                "Account",
                "Currency",
                "Start",
                "End",
                "Change",
                "Owners' PnL",
                "Deposits",
                "Rewards and rebates",
                "Rest",
            ),
            rows=tuple(rows),
            words=3,
            note="At mid. Change = owners' PnL + deposits + rewards and rebates + rest. The rest "
            "is what prices moved between the points both are kept at, at most a minute apart. "
            f"{NONE}: the account was never valued in the span.",
        )

    def _fills(self) -> ReportSection:
        rows = tuple(
            (
                row["mode"].upper(),
                row["currency"],
                row["state"],
                f"{row['fills']:,}",
                _money(row["value"] or 0),
                _money(row["fees"]),
            )
            for row in self._within(_FILLS)
        )
        return ReportSection(
            title="Fills by state",
            columns=("Mode", "Currency", "State", "Fills", "Value", "Fees"),
            rows=rows,
            words=3,
        )

    def _drawdown(self) -> ReportSection:
        rows = []
        for one in self._accounts:
            span = self._span
            asked = (self._engine_id, one["account"], span.since_ns, span.until_ns)
            (fall,) = dicts(self._connection, _FALL, asked)
            known = fall["fall"] is not None
            rows.append(
                (
                    one["mode"].upper(),
                    one["account"],
                    one["currency"],
                    _money(fall["fall"]) if known else NONE,
                    f"{100 * (fall['share'] or 0):.2f} %" if known else NONE,
                )
            )
        return ReportSection(
            title="Deepest drawdown",
            columns=("Mode", "Account", "Currency", "Drawdown", "Of the peak"),
            rows=tuple(rows),
            words=3,
            note="From the highest equity within the span, at mid. A withdrawal counts as a fall.",
        )

    def _markouts(self) -> ReportSection:
        rows = tuple(
            (
                row["mode"].upper(),
                row["account"],
                row["bot"],
                "at resolution"
                if row["horizon_ms"] == AT_RESOLUTION
                else f"{row['horizon_ms'] / 1_000:g} s",
                _markout(row["mean"], in_bps=row["in_bps"]),
                f"{row['known']:,}",
                f"{row['unknown']:,}",
            )
            for row in self._within(_MARKOUTS)
        )
        return ReportSection(
            title="Markouts of the span's fills",
            columns=("Mode", "Account", "Owner", "After", "Mean", "Known", "Not known"),
            rows=rows,
            words=4,
            note="Mean: cents per share, of pairs and perpetuals basis points (bp) of the fill's "
            "price. Not known: not due yet, or the book had no mid. Never zero.",
        )

    def _rewards(self) -> ReportSection:
        rows = tuple(
            (
                row["mode"].upper(),
                row["account"],
                row["kind"],
                row["currency"],
                f"{row['payments']:,}",
                _gain(row["amount"]),
            )
            for row in self._within(_REWARDS)
        )
        return ReportSection(
            title="Rewards, rebates and funding",
            columns=("Mode", "Account", "Kind", "Currency", "Payments", "Amount"),
            rows=rows,
            words=4,
        )

    def _limits(self) -> ReportSection:
        rows = tuple(
            (
                row["mode"].upper(),
                row["account"],
                LIMITS[row["name"]].title if row["name"] in LIMITS else row["name"],
                row["subject"] or NONE,
                f"{100 * row['share']:.0f} %",
            )
            for row in dicts(self._connection, _LIMITS, (self._engine_id,))
        )
        return ReportSection(
            title="Limits used",
            columns=("Mode", "Account", "Limit", "Most used by", "Used"),
            rows=rows,
            words=4,
            note=f"As they stood {moment(self._made_ns, self._zone)}.",
        )

    def _divergences(self) -> ReportSection:
        rows = []
        for row in dicts(self._connection, _CHECKS, (self._engine_id,)):
            at_ns = row["differed_ns"]
            last = NONE if at_ns is None else moment(at_ns, self._zone)
            within = at_ns is not None and self._span.since_ns <= at_ns < self._span.until_ns
            said = row["text"] or ("agreed again since" if within else "agrees")
            rows.append(
                (
                    row["mode"].upper(),
                    row["account"],
                    said,
                    last,
                    f"{row['checks']:,}",
                    f"{row['differed']:,}",
                )
            )
        return ReportSection(
            title="Divergences of ledger and journal",
            columns=("Mode", "Account", "At the last check", "Differed last", "Checks", "Differed"),
            rows=tuple(rows),
            words=4,
            note="Checks are counted since the account began.",
        )

    def _gaps(self) -> ReportSection:
        rows = tuple(
            (
                row["feed"],
                f"{row['gaps']:,}",
                f"{row['whole'] / SECOND_NS:,.1f} s",
                f"{row['longest'] / SECOND_NS:,.1f} s",
            )
            for row in self._within(_GAPS)
        )
        return ReportSection(
            title="Gaps of feeds", columns=("Feed", "Gaps", "In all", "Longest"), rows=rows
        )

    def _phases(self) -> ReportSection:
        words = {"INIT": "Starts", "STOPPED": "Stops", "RECOVERY": "Ends by an error"}
        rows = tuple(
            (words[row["phase"]], moment(row["last"], self._zone), f"{row['times']:,}")
            for row in self._within(_PHASES)
        )
        return ReportSection(
            title="The engine", columns=("What", "Last", "Times"), rows=rows, words=2
        )

    def _settings(self) -> ReportSection:
        rows: list[tuple[str, ...]] = []
        asked = (
            "SELECT version, base_version, at_ns, who FROM settings WHERE engine_id = ? "
            "AND at_ns >= ? AND at_ns < ? ORDER BY version DESC"
        )
        for row in self._within(asked):
            when = moment(row["at_ns"], self._zone)
            about = (f"version {row['version']}", when, row["who"])
            rows += [(*about, *one) for one in self._changed(row)]
        more = f"{len(rows) - CHANGES_MAX:,} more on the Journal page." * (len(rows) > CHANGES_MAX)
        return ReportSection(
            title="What changed in the settings",
            columns=("Version", "At", "By", "Setting", "Before", "After"),
            # The newest first: those of a first start are hundreds, and what is cut is the oldest.
            rows=tuple(rows[:CHANGES_MAX]),
            words=6,
            note=more,
        )

    def _changed(self, row: PlainDict) -> Sequence[tuple[str, str, str]]:
        try:
            base, after = (
                settings.read(self._connection, self._engine_id, version)
                for version in (row["base_version"], row["version"])
            )
        except BadInput as error:
            return [(f"it cannot be read: {error}", NONE, NONE)]
        found = settings.changes(base.document, after.document)
        whole = settings.merged(
            base.document.model_dump(mode="json"), after.document.model_dump(mode="json")
        )
        return [(_setting(whole, one.path), _word(one.before), _word(one.after)) for one in found]

    def _next(self) -> ReportSection:
        length_ns = self._span.until_ns - self._span.since_ns
        asked = (self._engine_id, self._made_ns, self._made_ns + length_ns)
        rows = [
            (
                row["mode"].upper(),
                row["account"],
                f"closes: {row['market']}",
                moment(row["closes_ns"], self._zone),
                row["currency"],
                _money(row["value_micro"]),
            )
            for row in dicts(self._connection, _CLOSES, asked)
        ]
        for one in self._accounts:
            last = dicts(
                self._connection, _EQUITY, (self._engine_id, one["account"], self._made_ns + 1)
            )
            if last and last[0]["redeemable_micro"]:
                rows.append(
                    (
                        one["mode"].upper(),
                        one["account"],
                        "redeemable",
                        "now",
                        one["currency"],
                        _money(last[0]["redeemable_micro"]),
                    )
                )
        return ReportSection(
            title="What comes next",
            columns=("Mode", "Account", "What", "When", "Currency", "Value"),
            rows=tuple(rows),
            words=5,
            note="Markets held that close within a span as long as this one, and winners "
            "that are not paid yet.",
        )


def _alerts(alerts: ReportAlerts) -> ReportSection:
    rows = tuple(
        (
            row["severity"],
            described(row["kind"]).title,
            f"{row['alerts']:,}",
            f"{row['times']:,}",
            f"{row['unseen']:,}",
        )
        for row in alerts.rows
    )
    return ReportSection(
        title="Alerts",
        columns=("Severity", "Alert", "Alerts", "Times", "Unseen"),
        rows=rows,
        words=2,
        note="By their last time; what the watch found (an engine that is dead, a limit that is "
        "near), while it lasted.",
    )


def _money(micro: int) -> str:
    return f"{Decimal(micro).scaleb(-6):,.2f}".replace("-", MINUS)


def _gain(micro: int) -> str:
    return f"{Decimal(micro).scaleb(-6):+,.2f}".replace("-", MINUS)


def _markout(mean: float | None, *, in_bps: bool) -> str:
    """Return a mean markout: ¢ per share, or of what has no shares basis points of the price."""
    if mean is None:
        return NONE
    text = f"{mean:+.2f} bp" if in_bps else f"{mean / 10_000:+.2f}¢"
    return text.replace("-", MINUS)


def _setting(whole: Mapping[str, object], path: str) -> str:
    """Return what a setting is part of, and the title of its field."""
    place = place_of(names_of(whole, path))
    return f"{place.part}: {place.title}"


def _word(value: object) -> str:
    return NONE if value is None else str(value)[:200]
