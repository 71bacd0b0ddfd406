"""Jobs of the worker: a function a kind, found by scan of this folder."""
