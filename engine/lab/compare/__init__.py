"""Paper against truth: the same maker in the demo exchange, and as paper over its public feed.

`venue` is the exchange behind the door of a simulated venue, `stand` one engine over a venue,
`watch` what is noted of it, `twins` its own orders once more as paper, `day` one day of both
worlds, `report` what all days say together.
"""
