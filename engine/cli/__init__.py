"""The command line: one file per command, found by `engine.__main__`."""
