"""The database: connection, edition, migrations and routines."""
