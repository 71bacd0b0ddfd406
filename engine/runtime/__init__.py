"""The runtime: what a venue stands on. Account runner, journal, tape, state writer, recovery."""
