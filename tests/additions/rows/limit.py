"""A limit that rows add: how many of the open orders stay free.

By file of the product: the line it stands above, and what is added.
"""

ROWS = {
    "engine/domain/limits.py": (
        '    LimitRow(\n        name="order_value_max",',
        """\
    LimitRow(
        name="free_orders_min",
        title="Open orders kept free",
        group=_ORDERS,
        unit=Unit.COUNT,
        reason="free_orders",
        sentence="One more order would leave fewer orders free than the limit.",
        per_order=True,
    ),
""",
    ),
    "engine/domain/settings.py": (
        "    data_age_ms_max: int",
        "    free_orders_min: int = Field(0, ge=0, le=10_000)\n",
    ),
    "engine/risk/reasons.py": (
        '    ORDER_TOO_SMALL = "order_too_small"',
        '    FREE_ORDERS = "free_orders"\n',
    ),
    "engine/risk/gate.py": (
        "        if breakers.day_start_equity_micro != self._anchor:",
        """\
        if open_orders + self.limits.free_orders_min >= self._orders_max:
            return Denied(DenyReason.FREE_ORDERS, (("open_orders", open_orders),))
""",
    ),
}
