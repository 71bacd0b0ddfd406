"""The venue in a box: a faithful Polymarket CLOB on one local port.

REST, Gamma, Data, relayer and both WebSocket channels, over the demo exchange's matching, ledger
and settlement. `python -m tests.fakes.polymarket --port P` runs it; tests use `server.serving`.
Seeded, its clock can be moved, every request and frame is journaled, faults are scripted, and
`/__fake__/invariants` says whether the books still balance. It binds 127.0.0.1 only.
"""
