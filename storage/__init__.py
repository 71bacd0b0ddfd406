"""Storage: tables, queries and the only way to the database. Pages read and leave commands here."""
