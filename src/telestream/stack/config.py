"""The server configuration of the embedded database, sized to the machine."""

from __future__ import annotations

import os
from pathlib import Path

from telestream.stack.sandbox import HOME
from telestream.stack.state import DATABASE_NAME

_MB = 1 << 20

# The server logs neither statements, nor parameters, nor the rows and lines an error is about: they hold
# phone numbers.
_TEMPLATE = """\
# Written at each `telestream stack up`; lasting changes: ALTER SYSTEM.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{home}/run'
max_connections = 100
password_encryption = 'scram-sha-256'

shared_preload_libraries = 'timescaledb,pg_cron,pg_stat_statements,pgaudit'
# Which object a login that asks for it has read, and not the statement: it may name a person.
pgaudit.log_statement = off
pgaudit.log_level = log
timescaledb.telemetry_level = off
# The Apache edition runs no jobs; schedulers would only log that, and hold connections to test databases.
timescaledb.max_background_workers = 0
cron.database_name = '{database}'
cron.host = '{home}/run'
cron.timezone = 'UTC'

shared_buffers = {shared_buffers}MB
effective_cache_size = {effective_cache}MB
maintenance_work_mem = {maintenance}MB
work_mem = 64MB
dynamic_shared_memory_type = posix
max_locks_per_transaction = 512
max_worker_processes = {workers}
max_parallel_workers = {cores}
max_parallel_workers_per_gather = {gather}
max_parallel_maintenance_workers = {gather}
jit = off
random_page_cost = 1.1

wal_level = replica
wal_compression = lz4
wal_buffers = 64MB
max_wal_size = 8GB
checkpoint_timeout = 15min
fsync = on
synchronous_commit = on

timezone = 'UTC'
datestyle = 'iso, ymd'
lc_messages = 'C.UTF-8'
lc_monetary = 'C.UTF-8'
lc_numeric = 'C.UTF-8'
lc_time = 'C.UTF-8'
default_text_search_config = 'pg_catalog.english'

log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
log_error_verbosity = terse
log_min_error_statement = panic
"""

HOST_RULES = """\
# Written at each `telestream stack up`. The socket folder is closed to other users.
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""


def memory_limit() -> int:
    """Return the bytes of memory this machine, or the container around us, has."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def server_settings(port: int, memory: int, cores: int) -> str:
    """Return the text of postgresql.conf for a machine with so many bytes of memory and so many cores."""
    megabytes = memory // _MB
    return _TEMPLATE.format(
        port=port,
        home=HOME,
        database=DATABASE_NAME,
        shared_buffers=max(128, min(megabytes // 4, 4096)),
        effective_cache=max(256, megabytes * 3 // 4),
        maintenance=max(64, min(megabytes // 16, 1024)),
        cores=cores,
        gather=max(1, cores // 2),
        workers=cores + 8,  # parallel queries, and the launchers of TimescaleDB and pg_cron
    )
