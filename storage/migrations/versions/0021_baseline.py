"""Schema 0021: every table as the first homes that go on have it. This text never changes.

Homes of 0021 have run it; a new home is made from `storage.tables` at once, and a test holds that
the scripts lead to the same.
"""

from alembic import op

revision: str = "0021"
down_revision: str | None = None

TABLES = """
CREATE TABLE accounts (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    venue VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    CONSTRAINT pk_accounts PRIMARY KEY (engine_id, account)
);

CREATE TABLE engine_state (
    engine_id VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    heartbeat_ns BIGINT NOT NULL,
    started_ns BIGINT NOT NULL,
    pid INTEGER NOT NULL,
    version VARCHAR NOT NULL,
    latched BOOLEAN NOT NULL,
    detail VARCHAR NOT NULL,
    CONSTRAINT pk_engine_state PRIMARY KEY (engine_id)
);

CREATE TABLE bots (
    engine_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    strategy VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    error VARCHAR NOT NULL,
    capital_micro BIGINT NOT NULL,
    evaluations BIGINT NOT NULL,
    watching VARCHAR DEFAULT '[]' NOT NULL,
    updated_ns BIGINT NOT NULL,
    CONSTRAINT pk_bots PRIMARY KEY (engine_id, name)
);

CREATE TABLE books (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    instrument VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    updated_ns BIGINT NOT NULL,
    CONSTRAINT pk_books PRIMARY KEY (engine_id, account, instrument)
);

CREATE TABLE catalog (
    engine_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    updated_ns BIGINT NOT NULL,
    CONSTRAINT pk_catalog PRIMARY KEY (engine_id, kind, name)
);

CREATE TABLE instruments (
    engine_id VARCHAR NOT NULL,
    id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    price_decimals INTEGER NOT NULL,
    size_decimals INTEGER NOT NULL,
    tick BIGINT NOT NULL,
    lot BIGINT NOT NULL,
    market VARCHAR NOT NULL,
    series VARCHAR NOT NULL,
    closes_ns BIGINT,
    payout_yes_micro BIGINT,
    body VARCHAR NOT NULL,
    updated_ns BIGINT NOT NULL,
    CONSTRAINT pk_instruments PRIMARY KEY (engine_id, id)
);

CREATE TABLE holdings (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    instrument VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    bot VARCHAR NOT NULL,
    yes_settled BIGINT NOT NULL,
    yes_pending BIGINT NOT NULL,
    no_settled BIGINT NOT NULL,
    no_pending BIGINT NOT NULL,
    yes_cost_micro BIGINT NOT NULL,
    no_cost_micro BIGINT NOT NULL,
    value_micro BIGINT NOT NULL,
    mid2 BIGINT,
    marked_ns BIGINT,
    realised_micro BIGINT NOT NULL,
    fees_micro BIGINT NOT NULL,
    payout_yes_micro BIGINT,
    opened_ns BIGINT,
    updated_ns BIGINT NOT NULL,
    CONSTRAINT pk_holdings PRIMARY KEY (engine_id, account, instrument)
);

CREATE TABLE limit_use (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    used BIGINT NOT NULL,
    limit_value BIGINT NOT NULL,
    unit VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    updated_ns BIGINT NOT NULL,
    CONSTRAINT pk_limit_use PRIMARY KEY (engine_id, account, name, subject)
);

CREATE TABLE equity (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    at_ns BIGINT NOT NULL,
    mode VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    equity_micro BIGINT NOT NULL,
    equity_mid_micro BIGINT NOT NULL,
    cash_micro BIGINT NOT NULL,
    day_start_micro BIGINT NOT NULL,
    peak_micro BIGINT NOT NULL,
    redeemable_micro BIGINT NOT NULL,
    CONSTRAINT pk_equity PRIMARY KEY (engine_id, account, at_ns)
);

CREATE TABLE capital (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    at_ns BIGINT NOT NULL,
    settled_micro BIGINT NOT NULL,
    open_micro BIGINT NOT NULL,
    open_orders BIGINT NOT NULL,
    doubtful_micro BIGINT NOT NULL,
    doubtful_orders BIGINT NOT NULL,
    pending_micro BIGINT NOT NULL,
    redeemable_micro BIGINT NOT NULL,
    redeeming_micro BIGINT NOT NULL,
    pairs_micro BIGINT NOT NULL,
    pairs_worth_micro BIGINT NOT NULL,
    dust_micro BIGINT NOT NULL,
    held_micro BIGINT NOT NULL,
    deposits_micro BIGINT NOT NULL,
    realised_micro BIGINT NOT NULL,
    fees_micro BIGINT NOT NULL,
    income_micro BIGINT NOT NULL,
    venue_micro BIGINT,
    venue_ns BIGINT,
    locks VARCHAR NOT NULL,
    CONSTRAINT pk_capital PRIMARY KEY (engine_id, account)
);

CREATE TABLE approvals (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    approvals VARCHAR NOT NULL,
    told_ns BIGINT,
    failed VARCHAR NOT NULL,
    CONSTRAINT pk_approvals PRIMARY KEY (engine_id, account)
);

CREATE TABLE earnings (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    at_ns BIGINT NOT NULL,
    orders VARCHAR NOT NULL,
    scoring VARCHAR NOT NULL,
    scoring_ns BIGINT,
    CONSTRAINT pk_earnings PRIMARY KEY (engine_id, account)
);

CREATE TABLE pnl (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    bot VARCHAR NOT NULL,
    at_ns BIGINT NOT NULL,
    mode VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    realised_micro BIGINT NOT NULL,
    fees_micro BIGINT NOT NULL,
    unrealised_micro BIGINT NOT NULL,
    CONSTRAINT pk_pnl PRIMARY KEY (engine_id, account, bot, at_ns)
);

CREATE TABLE runs (
    id INTEGER NOT NULL,
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    recording VARCHAR NOT NULL,
    bot VARCHAR NOT NULL,
    strategy VARCHAR NOT NULL,
    parameters VARCHAR NOT NULL,
    job BIGINT,
    started_ns BIGINT NOT NULL,
    finished_ns BIGINT,
    status VARCHAR NOT NULL,
    error VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    frames BIGINT NOT NULL,
    orders BIGINT NOT NULL,
    fills BIGINT NOT NULL,
    fees_micro BIGINT NOT NULL,
    pnl_micro BIGINT NOT NULL,
    events_per_s FLOAT NOT NULL,
    peak_rss_mb FLOAT NOT NULL,
    result VARCHAR NOT NULL,
    CONSTRAINT pk_runs PRIMARY KEY (id)
);

CREATE TABLE orders (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    id BIGINT NOT NULL,
    mode VARCHAR NOT NULL,
    bot VARCHAR NOT NULL,
    instrument VARCHAR NOT NULL,
    leg VARCHAR NOT NULL,
    side VARCHAR NOT NULL,
    price BIGINT NOT NULL,
    size BIGINT NOT NULL,
    type VARCHAR NOT NULL,
    post_only BOOLEAN NOT NULL,
    expires_ns BIGINT,
    created_ns BIGINT NOT NULL,
    identity VARCHAR,
    state VARCHAR NOT NULL,
    filled BIGINT NOT NULL,
    voided BIGINT NOT NULL,
    fee_micro BIGINT NOT NULL,
    reason VARCHAR NOT NULL,
    updated_ns BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    decision BIGINT NOT NULL,
    CONSTRAINT pk_orders PRIMARY KEY (engine_id, account, id)
);

CREATE TABLE fills (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    id VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    order_id BIGINT NOT NULL,
    bot VARCHAR NOT NULL,
    instrument VARCHAR NOT NULL,
    leg VARCHAR NOT NULL,
    side VARCHAR NOT NULL,
    price BIGINT NOT NULL,
    size BIGINT NOT NULL,
    value_micro BIGINT,
    fee_micro BIGINT NOT NULL,
    liquidity VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    realised_micro BIGINT,
    transaction_id VARCHAR,
    at_ns BIGINT NOT NULL,
    updated_ns BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    CONSTRAINT pk_fills PRIMARY KEY (engine_id, account, id)
);

CREATE TABLE positions (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    instrument VARCHAR NOT NULL,
    leg VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    settled BIGINT NOT NULL,
    pending BIGINT NOT NULL,
    bought BIGINT NOT NULL,
    sold BIGINT NOT NULL,
    spent_micro BIGINT NOT NULL,
    received_micro BIGINT NOT NULL,
    fee_micro BIGINT NOT NULL,
    cost_micro BIGINT NOT NULL,
    unvalued BIGINT NOT NULL,
    updated_ns BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    CONSTRAINT pk_positions PRIMARY KEY (engine_id, account, instrument, leg)
);

CREATE TABLE bets (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    instrument VARCHAR NOT NULL,
    bot VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    result VARCHAR NOT NULL,
    yes BIGINT NOT NULL,
    no BIGINT NOT NULL,
    bought BIGINT NOT NULL,
    sold BIGINT NOT NULL,
    spent_micro BIGINT NOT NULL,
    received_micro BIGINT NOT NULL,
    fee_micro BIGINT NOT NULL,
    paid_micro BIGINT NOT NULL,
    reward_micro BIGINT NOT NULL,
    fills BIGINT NOT NULL,
    merged BIGINT NOT NULL,
    unvalued BIGINT NOT NULL,
    opened_ns BIGINT NOT NULL,
    closed_ns BIGINT,
    updated_ns BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    CONSTRAINT pk_bets PRIMARY KEY (engine_id, account, instrument, bot)
);

CREATE TABLE listings (
    engine_id VARCHAR NOT NULL,
    instrument VARCHAR NOT NULL,
    value_divisor BIGINT,
    one_token BIGINT,
    payout_yes_micro BIGINT,
    seq BIGINT NOT NULL,
    CONSTRAINT pk_listings PRIMARY KEY (engine_id, instrument)
);

CREATE TABLE early_news (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    fill VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    seq BIGINT NOT NULL,
    CONSTRAINT pk_early_news PRIMARY KEY (engine_id, account, fill)
);

CREATE TABLE cash_moves (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    seq BIGINT NOT NULL,
    mode VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    amount_micro BIGINT NOT NULL,
    kind VARCHAR NOT NULL,
    payment VARCHAR NOT NULL,
    paid_ns BIGINT NOT NULL,
    at_ns BIGINT NOT NULL,
    instrument VARCHAR,
    leg VARCHAR,
    tokens BIGINT NOT NULL,
    CONSTRAINT pk_cash_moves PRIMARY KEY (engine_id, account, seq)
);

CREATE TABLE redemptions (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    transaction_id VARCHAR NOT NULL,
    instrument VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    amount_micro BIGINT NOT NULL,
    at_ns BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    CONSTRAINT pk_redemptions PRIMARY KEY (engine_id, account, transaction_id, instrument)
);

CREATE TABLE conversions (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    transaction_id VARCHAR NOT NULL,
    instrument VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    amount_micro BIGINT NOT NULL,
    at_ns BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    CONSTRAINT pk_conversions PRIMARY KEY (engine_id, account, transaction_id, instrument)
);

CREATE TABLE projection (
    engine_id VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    crc BIGINT NOT NULL,
    CONSTRAINT pk_projection PRIMARY KEY (engine_id)
);

CREATE TABLE marks (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    at_ns BIGINT NOT NULL,
    CONSTRAINT pk_marks PRIMARY KEY (engine_id, account, kind, subject)
);

CREATE TABLE live_unlocks (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    wallet VARCHAR NOT NULL,
    doctor_ns BIGINT NOT NULL,
    phrase_ns BIGINT NOT NULL,
    who VARCHAR NOT NULL,
    CONSTRAINT pk_live_unlocks PRIMARY KEY (engine_id, account)
);

CREATE TABLE venue_heartbeats (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    beating BOOLEAN NOT NULL,
    reason VARCHAR NOT NULL,
    armed_ns BIGINT,
    beat_ns BIGINT,
    cancels_ns BIGINT,
    updated_ns BIGINT NOT NULL,
    CONSTRAINT pk_venue_heartbeats PRIMARY KEY (engine_id, account)
);

CREATE TABLE live_examinations (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    examiner VARCHAR NOT NULL,
    wallet VARCHAR NOT NULL,
    at_ns BIGINT NOT NULL,
    who VARCHAR NOT NULL,
    findings VARCHAR NOT NULL,
    CONSTRAINT pk_live_examinations PRIMARY KEY (engine_id, account, examiner)
);

CREATE TABLE schedule (
    engine_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    cron VARCHAR NOT NULL,
    what VARCHAR NOT NULL,
    next_ns BIGINT,
    problem VARCHAR NOT NULL,
    last_ns BIGINT,
    updated_ns BIGINT NOT NULL,
    CONSTRAINT pk_schedule PRIMARY KEY (engine_id, name)
);

CREATE TABLE jobs (
    id INTEGER NOT NULL,
    engine_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    arguments VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    command VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    attempts BIGINT NOT NULL,
    done BIGINT NOT NULL,
    total BIGINT NOT NULL,
    unit VARCHAR NOT NULL,
    note VARCHAR NOT NULL,
    created_ns BIGINT NOT NULL,
    started_ns BIGINT,
    heard_ns BIGINT,
    finished_ns BIGINT,
    cancel_by VARCHAR NOT NULL,
    result VARCHAR NOT NULL,
    error VARCHAR NOT NULL,
    CONSTRAINT pk_jobs PRIMARY KEY (id)
);

CREATE TABLE recordings (
    engine_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    instruments VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT,
    reason VARCHAR NOT NULL,
    events BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    gaps BIGINT NOT NULL,
    first_ns BIGINT,
    last_ns BIGINT,
    updated_ns BIGINT NOT NULL,
    CONSTRAINT pk_recordings PRIMARY KEY (engine_id, name)
);

CREATE TABLE titles (
    engine_id VARCHAR NOT NULL,
    instrument VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    slug VARCHAR NOT NULL,
    updated_ns BIGINT NOT NULL,
    CONSTRAINT pk_titles PRIMARY KEY (engine_id, instrument)
);

CREATE TABLE watch_lists (
    engine_id VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    instrument VARCHAR NOT NULL,
    at_ns BIGINT NOT NULL,
    CONSTRAINT pk_watch_lists PRIMARY KEY (engine_id, who, name, instrument)
);

CREATE TABLE feed_gaps (
    engine_id VARCHAR NOT NULL,
    feed VARCHAR NOT NULL,
    instrument VARCHAR NOT NULL,
    since_ns BIGINT NOT NULL,
    until_ns BIGINT,
    reason VARCHAR NOT NULL,
    CONSTRAINT pk_feed_gaps PRIMARY KEY (engine_id, feed, instrument, since_ns)
);

CREATE TABLE equity_checks (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    at_ns BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    cash_micro BIGINT NOT NULL,
    pending_micro BIGINT NOT NULL,
    redeemable_micro BIGINT NOT NULL,
    inventory_micro BIGINT NOT NULL,
    equity_micro BIGINT NOT NULL,
    journal_cash_micro BIGINT NOT NULL,
    journal_inventory_micro BIGINT NOT NULL,
    journal_equity_micro BIGINT NOT NULL,
    difference_micro BIGINT NOT NULL,
    judged BOOLEAN NOT NULL,
    text VARCHAR NOT NULL,
    checks BIGINT NOT NULL,
    differed BIGINT NOT NULL,
    differed_ns BIGINT,
    CONSTRAINT pk_equity_checks PRIMARY KEY (engine_id, account)
);

CREATE TABLE markouts (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    fill VARCHAR NOT NULL,
    horizon_ms BIGINT NOT NULL,
    mode VARCHAR NOT NULL,
    bot VARCHAR NOT NULL,
    instrument VARCHAR NOT NULL,
    liquidity VARCHAR NOT NULL,
    leg VARCHAR NOT NULL,
    sign INTEGER NOT NULL,
    price_micro BIGINT NOT NULL,
    due_ns BIGINT,
    state VARCHAR NOT NULL,
    markout_micro BIGINT,
    CONSTRAINT pk_markouts PRIMARY KEY (engine_id, account, fill, horizon_ms)
);

CREATE TABLE markout_sums (
    engine_id VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    bot VARCHAR NOT NULL,
    liquidity VARCHAR NOT NULL,
    horizon_ms BIGINT NOT NULL,
    mode VARCHAR NOT NULL,
    known BIGINT NOT NULL,
    unknown BIGINT NOT NULL,
    sum_micro BIGINT NOT NULL,
    squares FLOAT NOT NULL,
    CONSTRAINT pk_markout_sums PRIMARY KEY (engine_id, account, bot, liquidity, horizon_ms)
);

CREATE TABLE alerts (
    id INTEGER NOT NULL,
    engine_id VARCHAR NOT NULL,
    mode VARCHAR,
    account VARCHAR,
    bot VARCHAR,
    instrument VARCHAR,
    severity VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    text VARCHAR NOT NULL,
    count INTEGER NOT NULL,
    first_ns BIGINT NOT NULL,
    last_ns BIGINT NOT NULL,
    acked_by VARCHAR,
    acked_ns BIGINT,
    CONSTRAINT pk_alerts PRIMARY KEY (id)
);

CREATE TABLE commands (
    id VARCHAR NOT NULL,
    engine_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    created_ns BIGINT NOT NULL,
    expires_ns BIGINT NOT NULL,
    claimed_ns BIGINT,
    answered_ns BIGINT,
    answer VARCHAR NOT NULL,
    CONSTRAINT pk_commands PRIMARY KEY (id)
);

CREATE TABLE audit (
    id INTEGER NOT NULL,
    engine_id VARCHAR NOT NULL,
    at_ns BIGINT NOT NULL,
    who VARCHAR NOT NULL,
    what VARCHAR NOT NULL,
    detail VARCHAR NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (id)
);

CREATE TABLE settings (
    engine_id VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    base_version INTEGER NOT NULL,
    at_ns BIGINT NOT NULL,
    who VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    applied_ns BIGINT,
    CONSTRAINT pk_settings PRIMARY KEY (engine_id, version)
);

CREATE TABLE users (
    engine_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    password_hash VARCHAR NOT NULL,
    created_ns BIGINT NOT NULL,
    disabled BOOLEAN NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (engine_id, name)
);

CREATE TABLE run_equity (
    run INTEGER NOT NULL,
    at_ns BIGINT NOT NULL,
    engine_id VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    equity_micro BIGINT NOT NULL,
    CONSTRAINT pk_run_equity PRIMARY KEY (run, at_ns),
    CONSTRAINT fk_run_equity_run_runs FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE TABLE run_markets (
    run INTEGER NOT NULL,
    instrument VARCHAR NOT NULL,
    engine_id VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    orders BIGINT NOT NULL,
    fills BIGINT NOT NULL,
    fees_micro BIGINT NOT NULL,
    realised_micro BIGINT NOT NULL,
    unresolved_micro BIGINT NOT NULL,
    position_left BIGINT NOT NULL,
    resolved BOOLEAN NOT NULL,
    CONSTRAINT pk_run_markets PRIMARY KEY (run, instrument),
    CONSTRAINT fk_run_markets_run_runs FOREIGN KEY(run) REFERENCES runs (id) ON DELETE CASCADE
);
"""

INDEXES = """
CREATE INDEX ix_alerts_engine_id_last_ns ON alerts (engine_id, last_ns);
CREATE INDEX ix_audit_engine_id_at_ns ON audit (engine_id, at_ns);
CREATE INDEX ix_bets_engine_id_instrument ON bets (engine_id, instrument);
CREATE INDEX ix_bets_engine_id_mode_closed_ns_account_instrument_bot ON bets
    (engine_id, mode, closed_ns, account, instrument, bot);
CREATE INDEX ix_commands_engine_id_state_created_ns ON commands (engine_id, state, created_ns);
CREATE INDEX ix_fills_engine_id_account_order_id ON fills (engine_id, account, order_id);
CREATE INDEX ix_fills_engine_id_account_state ON fills (engine_id, account, state);
CREATE INDEX ix_fills_engine_id_instrument_at_ns ON fills (engine_id, instrument, at_ns);
CREATE INDEX ix_fills_engine_id_mode_at_ns ON fills (engine_id, mode, at_ns);
CREATE INDEX ix_holdings_engine_id_bot ON holdings (engine_id, bot);
CREATE INDEX ix_instruments_market ON instruments (market);
CREATE INDEX ix_instruments_series ON instruments (series);
CREATE INDEX ix_jobs_command ON jobs (command);
CREATE INDEX ix_jobs_engine_id_state ON jobs (engine_id, state);
CREATE INDEX ix_markouts_engine_id_state_instrument ON markouts (engine_id, state, instrument);
CREATE INDEX ix_orders_engine_id_instrument_created_ns ON orders
    (engine_id, instrument, created_ns);
CREATE INDEX ix_orders_engine_id_mode_created_ns ON orders (engine_id, mode, created_ns);
CREATE INDEX ix_orders_engine_id_state ON orders (engine_id, state);
CREATE INDEX ix_runs_engine_id_started_ns ON runs (engine_id, started_ns);
"""


def upgrade() -> None:
    for statement in (TABLES + INDEXES).split(";"):
        if statement.strip():
            op.execute(statement)
    # Audit is insert-only: whoever holds the file open, a row is never changed or deleted.
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'audit is insert-only'); END"
        )
