"""What the pages are made of: sign-in, frame, status bar, tables, charts, commands, KILL."""
