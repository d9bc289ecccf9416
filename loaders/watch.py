"""Watches folders and S3 prefixes: loads what is new, remembers how far it came."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence

from rich.console import Console

from telestream import logs
from telestream.db import expectations, rollups
from telestream.db.connection import database_url
from telestream.errors import UsageError
from telestream.loaders.pipeline import CdrLoader
from telestream.loaders.profile import Profile
from telestream.loaders.report import LoadLog, load_table, print_notes
from telestream.loaders.sources import Source, discover
from telestream.settings import settings


def watch(
    paths: Sequence[str],
    profile: Profile | None,
    *,
    workers: int,
    interval: float,
    refresh: bool,
    console: Console,
) -> None:
    """Load what arrives under the paths until SIGINT or SIGTERM.

    A file is taken once its size and time have been the same at two looks, so that one still being copied
    is left alone. What the database knows by place, size and time is not read again; anything else is,
    however old its time stamp, and is then known by its content. The watermark says how far a path has come.
    With TELESTREAM_LOG_FORMAT=json there is a log line of each file in place of the tables.
    """
    logs.to_stderr()
    as_lines = settings().log_format == "json"
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    console.print(f"watching {', '.join(paths)}; stop with Ctrl-C")
    seen: set[Source] = set()
    taken: set[Source] = set()
    with CdrLoader(workers=workers, hooks=LoadLog() if as_lines else None) as loader:
        while not stop.is_set():
            for path in paths:
                listed = [source for source in _list(path) if source not in taken]
                taken.update(source for source in listed if loader.ledger.knows(source))
                found = {source for source in listed if source not in taken}
                settled = sorted(found & seen, key=lambda source: (source.modified_at, source.uri))
                seen |= found
                if not settled:
                    continue
                results = loader.load(settled, profile)
                taken.update(settled)
                loader.ledger.move_watermark(path, settled[-1])
                if not as_lines:
                    console.print(load_table(results))
                    print_notes(results, console)
                if refresh:
                    rollups.refresh(database_url())
                    expectations.check(database_url())
            stop.wait(interval)
    console.print(f"stopped at {time.strftime('%H:%M:%S')}; the next watch goes on from here")


def _list(path: str) -> list[Source]:
    """Return what lies under a path now; a folder that is still empty is no error here."""
    try:
        return discover([path])
    except UsageError:
        return []
