"""Loads CDR files: finds out what is new, cuts it into segments and keeps the workers busy."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Literal

from telestream import tracing
from telestream.db.connection import connect, database_url, translated
from telestream.db.migrate import require_served, require_time_zone
from telestream.db.vault import vault_key
from telestream.errors import TelestreamError
from telestream.loaders.commit import LOADER_ROLE, Committer
from telestream.loaders.ledger import Counts, FileRecord, Ledger
from telestream.loaders.profile import Profile
from telestream.loaders.readers import open_segments
from telestream.loaders.readers.segment import SEGMENT_BYTES, Segment
from telestream.loaders.sniff import assess, refused_lines, sniff
from telestream.loaders.sources import Source

Outcome = Literal["loaded", "readable", "already loaded", "refused", "already refused", "failed"]


@dataclass
class FileResult:
    """What happened to one file."""

    uri: str
    outcome: Outcome
    profile: str = ""
    counts: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    rows_now: int = 0
    """Records committed by this run, not by one that was interrupted before."""
    note: str = ""
    error: TelestreamError | None = None


class Hooks:
    """What a caller may want to hear of while the work goes on; called from several threads."""

    def opened(self, source: Source, profile: Profile) -> None:
        """The first segment of a file is about to be read."""

    def advanced(self, source: Source, segment: Segment, counts: Counts) -> None:
        """A segment is committed."""

    def finished(self, result: FileResult) -> None:
        """Nothing more will happen to a file."""


@dataclass
class _OpenFile:
    source: Source
    record: FileRecord
    content_hash: str
    profile: Profile
    started: float
    futures: list[Future[int]]


class CdrLoader:
    """Loads files with `workers` connections that commit segments side by side.

    Memory holds `workers` + 1 segments, whatever the size of the files.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        workers: int = 2,
        segment_bytes: int = SEGMENT_BYTES,
        hooks: Hooks | None = None,
    ) -> None:
        self._url = url or database_url()
        self._segment_bytes = segment_bytes
        self._hooks = hooks or Hooks()
        key = vault_key()
        self._control = connect(self._url, role=LOADER_ROLE, autocommit=True)
        with translated(self._url):
            require_served(self._control)
            require_time_zone(self._control)
        self.ledger = Ledger(self._control, "cdr")
        self._idle: queue.SimpleQueue[Committer] = queue.SimpleQueue()
        self._committers = [Committer(self._url, key) for _ in range(workers)]
        for committer in self._committers:
            self._idle.put(committer)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="segment")

    def __enter__(self) -> CdrLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        for committer in self._committers:
            committer.close()
        self._control.close()

    def load(self, sources: Sequence[Source], profile: Profile | None = None) -> list[FileResult]:
        """Load the files in order; a file that cannot be read fails alone, a lost database stops all.

        Raises:
            TransientError: the database went away; the same call goes on where this one stopped.
        """
        results: list[FileResult] = []
        opened: list[_OpenFile] = []

        def close_finished(*, all_of_them: bool) -> None:
            for file in list(opened):
                if all_of_them or all(future.done() for future in file.futures):
                    opened.remove(file)
                    results.append(self._close(file))

        with translated(self._url):
            for source in sources:
                close_finished(all_of_them=False)
                started = time.monotonic()
                try:
                    result = self._open(source, profile, started, opened, close_finished)
                except TelestreamError as exc:
                    if exc.transient:
                        raise
                    result = FileResult(source.uri, "failed", error=exc, seconds=time.monotonic() - started)
                if result is not None:
                    self._hooks.finished(result)
                    results.append(result)
            close_finished(all_of_them=True)
        order = {source.uri: position for position, source in enumerate(sources)}
        return sorted(results, key=lambda result: order[result.uri])

    def _open(
        self,
        source: Source,
        profile: Profile | None,
        started: float,
        opened: list[_OpenFile],
        close_finished: Callable[..., None],
    ) -> FileResult | None:
        """Start a file; returns its result if there is nothing (more) to do with it."""
        content_hash = source.fingerprint()
        if any(file.content_hash == content_hash for file in opened):
            close_finished(all_of_them=True)
        if not self.ledger.try_lock(content_hash):
            # Holding no other file while waiting: two loaders can then never wait for each other.
            close_finished(all_of_them=True)
            self.ledger.wait_lock(content_hash)
        keep_lock = False
        try:
            record = self.ledger.find(content_hash)
            if record is not None and record.status == "loaded":
                return self._known(source, record, "already loaded", started)
            chosen = profile or sniff(source).profile
            if record is not None and record.status == "refused" and record.profile_hash == chosen.content_hash:
                return self._known(source, record, "already refused", started)
            refusal = assess(source, chosen)
            record = self.ledger.register(content_hash, source, chosen.name, chosen.content_hash, self._segment_bytes)
            begun = self.ledger.begin(record.file_id)
            if refusal is not None:
                committer = self._idle.get()
                try:
                    with begun:
                        committer.refuse_file(record.file_id, refusal.reason, refused_lines(source, chosen))
                finally:
                    self._idle.put(committer)
                result = self._known(source, record, "refused", started)
                result.note = refusal.reason
                return result
            self._hooks.opened(source, chosen)
            file = _OpenFile(source, record, content_hash, chosen, started, [])
            with begun:
                try:
                    self._submit(file)
                except TelestreamError:
                    wait(file.futures)
                    raise
            opened.append(file)
            keep_lock = True
            return None
        finally:
            if not keep_lock:
                self.ledger.unlock(content_hash)

    def _submit(self, file: _OpenFile) -> None:
        """Read the file to its end, handing each segment to a worker as soon as one is free."""
        done = self.ledger.done_segments(file.record.file_id)
        segments = open_segments(file.source, file.profile, resume=done, segment_bytes=file.record.segment_size)
        began = time.time_ns()
        for segment in segments:
            read = (began, time.time_ns())
            committer = self._idle.get()
            failed = next((future for future in file.futures if future.done() and future.exception()), None)
            if failed is not None:
                self._idle.put(committer)
                break
            file.futures.append(self._pool.submit(self._commit, committer, file, segment, read))
            began = time.time_ns()

    def _commit(self, committer: Committer, file: _OpenFile, segment: Segment, read: tuple[int, int]) -> int:
        """On a thread of the pool: commit a segment that was read in this span of time, as one trace."""
        file_id = file.record.file_id
        try:
            with tracing.batch("load cdr", read[0], telestream__file_id=file_id, telestream__segment=segment.number):
                tracing.record("read", *read)
                counts = committer.commit(file_id, file.profile.promises, segment)
        finally:
            self._idle.put(committer)
        self._hooks.advanced(file.source, segment, counts)
        return counts.rows_in

    def _close(self, file: _OpenFile) -> FileResult:
        """Wait for the segments of a file and note that it is complete."""
        wait(file.futures)
        try:
            with self.ledger.failing(file.record.file_id):
                rows_now = sum(future.result() for future in file.futures)
                self.ledger.finish(file.record.file_id)
        except TelestreamError as exc:
            if exc.transient:
                raise
            counts = self.ledger.counts(file.record.file_id)
            result = FileResult(file.source.uri, "failed", file.profile.name, counts, error=exc)
        else:
            result = self._known(file.source, file.record, "loaded", file.started)
            result.rows_now = rows_now
        self.ledger.unlock(file.content_hash)
        self._hooks.finished(result)
        return result

    def _known(self, source: Source, record: FileRecord, outcome: Outcome, started: float) -> FileResult:
        note = record.reason or ""
        if outcome.startswith("already") and record.uri != source.uri:
            note = f"same content as {record.uri}. {note}".strip()
        return FileResult(
            source.uri,
            outcome,
            record.profile,
            self.ledger.counts(record.file_id),
            time.monotonic() - started,
            note=note,
        )
