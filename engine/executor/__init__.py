"""The executor: the single writer of one account's orders, inventory and reservations (law A)."""
