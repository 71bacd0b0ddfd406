"""What several pages show alike: an order, a bot, a decision, a receipt, an alert, PnL."""
