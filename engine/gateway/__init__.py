"""The gateway: decides when a request leaves, cancels first. It never decides what (law C).

`core` and `lanes` are the sans-I/O part: the lane of places, the lane of safety and how fast both
may be; `sender` is the asyncio shell that carries requests to a venue's door.
"""
