"""Reads and maps files without a database and says what a load would meet."""

from __future__ import annotations

import time
from collections.abc import Sequence

from telestream.errors import TelestreamError
from telestream.loaders.ledger import Counts
from telestream.loaders.pipeline import FileResult
from telestream.loaders.profile import Profile
from telestream.loaders.readers import open_segments
from telestream.loaders.sniff import assess, sniff
from telestream.loaders.sources import Source


def dry_run(sources: Sequence[Source], profile: Profile | None = None) -> list[FileResult]:
    """Return for each file what its reader finds; the database's rules and duplicates are not known here."""
    results = []
    for source in sources:
        started = time.monotonic()
        try:
            result = _read(source, profile)
        except TelestreamError as exc:
            result = FileResult(source.uri, "failed", error=exc)
        result.seconds = time.monotonic() - started
        results.append(result)
    return results


def _read(source: Source, profile: Profile | None) -> FileResult:
    source.fingerprint()  # reads to the end: a truncated file is found here
    chosen = profile or sniff(source).profile
    refusal = assess(source, chosen)
    if refusal is not None:
        return FileResult(source.uri, "refused", chosen.name, note=refusal.reason)
    counts = Counts()
    for segment in open_segments(source, chosen):
        rejected = segment.rejects.num_rows
        counts += Counts(segment.rows_in, segment.table.num_rows, 0, rejected)
    return FileResult(source.uri, "readable", chosen.name, counts, rows_now=counts.rows_in)
