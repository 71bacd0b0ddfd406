"""The live engine: what stands on the venues. Accounts, bots, KILL, proofs, telemetry."""
