"""Paper against truth: the same maker in the demo exchange, and as paper over its public feed.

`engine_run` is one engine over a venue, `watch` what is noted of it, `queues` whose cancels were
ahead of it, `day` one day of both worlds, `report` what all days say together.
"""
