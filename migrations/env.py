"""Alembic environment: one migration run at a time, a transaction per revision, routines at head."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from telestream.db.connection import database_url, sqlalchemy_url
from telestream.db.routines import apply, drop_all

# A migration waits this long for a lock before it gives way to the loaders and readers that hold it.
LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "30min"
# Any constant of our own: two migration runs on one database take turns.
ADVISORY_LOCK = 7_301_001


def run_offline() -> None:
    """Print the SQL (`alembic upgrade head --sql`); the routines are applied by a later online run."""
    context.configure(dialect_name="postgresql", literal_binds=True, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


def is_going_to_head() -> bool:
    """Say whether the run ends at head; one that does not must not trip over routines on its tables."""
    return context.get_revision_argument() in {"head", "heads", context.get_head_revision()}


def run_online() -> None:
    """Migrate the database of the settings, or the one given by `-x url=…`."""
    url = context.get_x_argument(as_dictionary=True).get("url") or database_url()
    engine = create_engine(sqlalchemy_url(url), poolclass=pool.NullPool, connect_args={"prepare_threshold": None})
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
        connection.commit()
        try:
            if not is_going_to_head():
                drop_all(connection.connection.driver_connection)
                connection.commit()
            context.configure(connection=connection, transaction_per_migration=True)
            with context.begin_transaction():
                context.run_migrations()
            connection.commit()
            if context.get_context().get_current_revision() == context.get_head_revision():
                apply(connection.connection.driver_connection)
                connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
            connection.commit()
    engine.dispose()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
