"""The kit of every page: tables, charts, forms, words, links, drafts, commands, data."""
