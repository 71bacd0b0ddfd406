"""The lab: recordings, replay, the simulator, incidents and explanations."""
