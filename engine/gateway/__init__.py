"""The gateway: decides when a request leaves, cancels first. It never decides (law C)."""
