"""The gateway: decides when a request leaves, cancels first. It never decides what (law C).

`core` is the sans-I/O part with its two lanes (`places`, `safety`) and the `limiter`; `sender` is
the asyncio shell that carries its requests to a venue's door.
"""
