"""The half of Polymarket that signs: one account, its wallet, its orders."""
