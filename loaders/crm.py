"""Syncs customers from a CRM: each page with the place reached in one transaction, so that nothing is missed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from telestream import __version__
from telestream.db.connection import Connection, database_url, translated
from telestream.db.lineage_runs import failing
from telestream.errors import TerminalError, TransientError
from telestream.loaders.crm_client import CrmClient, ExpiredCursorError, Page
from telestream.loaders.customer_files import CustomerBatch
from telestream.loaders.customer_records import DEFAULT_SOURCE, RefusedRow, UnreadableValueError, time_of
from telestream.loaders.customers import DATASET, commit_batch, open_writer
from telestream.loaders.ledger import Counts


@dataclass(frozen=True)
class _Place:
    """Where a sync that is not complete stands: the page to ask for next, and the latest change seen."""

    cursor: str | None = None
    since: str | None = None
    newest: str | None = None


@dataclass(frozen=True)
class SyncResult:
    """What a sync did; `resumed` says that it went on with one that had been interrupted."""

    pages: int
    counts: Counts
    resumed: bool
    watermark: datetime | None


def sync(
    client: CrmClient,
    *,
    source_system: str = DEFAULT_SOURCE,
    page_size: int = 1000,
    overlap: timedelta = timedelta(minutes=5),
    url: str | None = None,
) -> SyncResult:
    """Take in every customer that changed since the last sync.

    Asks for changes since the last watermark less `overlap`, because a CRM may commit a change after a later one
    was read; what comes twice is a duplicate. The watermark moves when the last page is in, so pages may have any
    order; until then the cursor of the next page is kept with the rows of the one before.

    Raises:
        TransientError: the CRM or the database does not answer, or another sync of this source is running; the
            same call goes on where this one stopped.
        TerminalError: the CRM refuses, or answers with something else than a page.
    """
    target = url or database_url()
    with translated(target), open_writer(target) as connection:
        row = connection.execute(
            "SELECT pg_try_advisory_lock(hashtextextended('crm sync ' || %s, 0))", (source_system,)
        ).fetchone()
        if not row or not row[0]:
            raise TransientError(
                f"another sync of {source_system} is running", hint="Wait for its end, or give another --source."
            )
        subject = _begin(connection, client.url, source_system)
        watermark, place = _stands(connection, source_system)
        resumed = place.cursor is not None
        if not resumed:
            place = _Place(since=(watermark - overlap).isoformat() if watermark else None)
        pages, total, began_again = 0, Counts(), False
        with failing(connection, subject):
            while True:
                try:
                    page = client.page(_moment(place.since), place.cursor, page_size)
                except ExpiredCursorError as exc:
                    if began_again:
                        raise TerminalError(str(exc), detail=exc.detail, hint="Report it to who runs the API.") from exc
                    # What is in already comes again as duplicates.
                    began_again, place = True, _Place(since=place.since, newest=place.newest)
                    continue
                if page.next_cursor is not None and page.next_cursor == place.cursor:
                    raise TerminalError(
                        "the CRM's pages lead in a circle", detail="A page names itself as the next one."
                    )
                place = _Place(page.next_cursor, place.since, _later(place.newest, _newest(page)))
                counts = _commit(connection, page, pages + 1, source_system, place)
                pages, total = pages + 1, total + counts
                if place.cursor is None:
                    connection.execute("SELECT ops.end_run(%s, 'COMPLETE', NULL, NULL, NULL)", (subject,))
                    watermark, _ = _stands(connection, source_system)
                    return SyncResult(pages, total, resumed, watermark)


def _begin(connection: Connection, url: str, source_system: str) -> str:
    """Note in the lineage that a sync begins, and what its pages are read from; return the run's subject."""
    subject = f"sync:{source_system}"
    connection.execute(
        "SELECT set_config('telestream.lineage_source', %(url)s, false),"
        " set_config('telestream.lineage_subject', %(subject)s, false),"
        " ops.begin_run(%(subject)s, 'sync.customer', %(version)s, jsonb_build_array(ops.lineage_place(%(url)s)), '[]',"
        " NULL, NULL, jsonb_build_object('source_system', %(source)s::text))",
        {"url": url, "subject": subject, "version": __version__, "source": source_system},
    )
    return subject


def _commit(connection: Connection, page: Page, number: int, source_system: str, place: _Place) -> Counts:
    """Commit a page and the place reached together."""

    def keep_place() -> None:
        done = place.cursor is None
        connection.execute(
            "INSERT INTO ops.watermark AS w (dataset, source, event_at, position) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (dataset, source) DO UPDATE SET event_at = greatest(w.event_at, excluded.event_at),"
            " position = excluded.position, updated_at = clock_timestamp()",
            (
                DATASET,
                source_system,
                _moment(place.newest) if done else None,
                None if done else json.dumps(asdict(place)),
            ),
        )

    batch = CustomerBatch(number)
    for line, record in enumerate(page.customers, 1):
        if isinstance(record, dict):
            batch.add(line, record, source_system)
        else:
            batch.refused.append(RefusedRow(line, "json", "the record is not a JSON object", json.dumps(record)))
    if len(batch):
        return commit_batch(connection, batch, together=keep_place)
    keep_place()
    return Counts()


def _stands(connection: Connection, source_system: str) -> tuple[datetime | None, _Place]:
    row = connection.execute(
        "SELECT event_at, position FROM ops.watermark WHERE dataset = %s AND source = %s", (DATASET, source_system)
    ).fetchone()
    if row is None:
        return None, _Place()
    return row[0], _Place(**json.loads(row[1])) if row[1] else _Place()


def _newest(page: Page) -> str | None:
    """Return the latest time at which the CRM says it updated a record; a time in the future is none."""
    now = datetime.now(UTC)
    moments = [moment for record in page.customers if (moment := _updated_at(record)) is not None and moment <= now]
    return max(moments).isoformat() if moments else None


def _updated_at(record: Any) -> datetime | None:
    if not isinstance(record, dict):
        return None
    name = "updated_at" if record.get("updated_at") else "changed_at"
    try:
        return time_of(record.get(name), name)
    except UnreadableValueError:
        return None


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _later(one: str | None, other: str | None) -> str | None:
    moments = [text for text in (one, other) if text is not None]
    return max(moments, key=datetime.fromisoformat, default=None)
