"""The watch: one small program beside the engine that reaches a person.

Takes: alerts and heartbeats from the state database (read only), what supervisor, `/proc` and the
disk say, the rules of the settings. Gives: messages through channels, a delivery log of its own,
a ping to a dead man's switch. Refuses: to trade, to open the vault, to hold a venue's key.

It goes on when the engine is dead, hung or restarting, when the database is locked, unreadable or
gone, and when the disk is full; then it says exactly that. In the order of the flow: `probes` and
`conditions` find trouble, `notices` remembers it and plans by `rules` who hears of it when,
`dispatch` and `sender` start `send`, a short-lived program that alone opens a channel's
secrets.
"""
