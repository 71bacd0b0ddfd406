"""How good the fair value is, against a coin, the spot formula and the market's own mid."""
