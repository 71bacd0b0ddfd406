"""The dashboard: one file per page, each a script that stands alone; pieces in `kit` and `shared`.

Pages read rows through `storage`, write through `storage.commands` and `storage.settings`, and know
nothing of the engine but its vocabulary.
"""
