"""The market maker: parameters, fair value, gates, quotes and what it learns."""
