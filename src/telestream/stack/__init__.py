"""The embedded stack: PostgreSQL with TimescaleDB and a cache, without Docker."""
