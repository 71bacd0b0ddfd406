"""The frame around every page: sign-in, status bar, KILL, watchdog, look."""
