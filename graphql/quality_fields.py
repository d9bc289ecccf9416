"""Queries about the data itself: quality, batches, refused records, how fresh it is."""

from __future__ import annotations

import enum
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

import strawberry
from psycopg import sql
from strawberry import argument

from telestream.graphql import arguments
from telestream.graphql.access import marked
from telestream.graphql.context import ApiInfo
from telestream.graphql.network_fields import After, First
from telestream.graphql.principal import Scope
from telestream.graphql.problems import ArgumentProblem
from telestream.graphql.scalars import Long, PageInfo, choice


@strawberry.enum(description="What records are.")
class Dataset(enum.Enum):
    """A dataset."""

    CDR = choice("cdr", "Call detail records.")
    NETWORK_EVENT = choice("network_event", "Network events.")


@strawberry.type(description="Quality of what was loaded on a day, in per cent.")
class QualityScore:
    """A day of quality."""

    dataset: str = strawberry.field(description="What the records are.")
    day: date = strawberry.field(description="Day of loading, of the operator.")
    rows_in: Long = strawberry.field(description="Records that arrived.")
    rows_quarantined: Long = strawberry.field(description="Records refused.")
    score: Decimal = strawberry.field(description="Per cent of records that were not refused.")
    completeness: Decimal = strawberry.field(description="100 less violations of completeness per 100 records.")
    validity: Decimal = strawberry.field(description="100 less violations of validity per 100 records.")
    uniqueness: Decimal = strawberry.field(description="100 less duplicates per 100 records.")
    timeliness: Decimal = strawberry.field(description="100 less violations of timeliness per 100 records.")
    consistency: Decimal = strawberry.field(description="100 less violations of consistency per 100 records.")


@strawberry.type(description="How far a dataset has come.")
class Freshness:
    """Freshness of a dataset."""

    dataset: str = strawberry.field(description="cdr, network_event or customer.")
    newest_event_at: datetime | None = strawberry.field(description="Latest event time that is in.")
    last_loaded_at: datetime | None = strawberry.field(description="When its last batch was finished.")
    pending_buckets: int = strawberry.field(description="Buckets of Gold that wait for a refresh.")


@strawberry.type(description="The latest result of what is expected of a dataset as a whole.")
class Expectation:
    """An expectation and its latest result."""

    dataset: str = strawberry.field(description="The dataset.")
    rule: str = strawberry.field(description="The rule, as in the table quality.expectation.")
    subject: str = strawberry.field(description="Source or part of the dataset; empty: all of it.")
    kind: str = strawberry.field(description="freshness, volume, referential, distribution or score.")
    dimension: str = strawberry.field(description="Dimension of quality it belongs to.")
    message: str = strawberry.field(description="What it is about, for people.")
    bucket: datetime = strawberry.field(description="Start of the hour or day that was judged last.")
    outcome: str = strawberry.field(description="passed, failed, no_history, maintenance or error.")
    observed: float | None = strawberry.field(description="What was found.")
    at_least: float | None = strawberry.field(description="Least value that passes; null: any.")
    at_most: float | None = strawberry.field(description="Greatest value that passes; null: any.")
    reason: str | None = strawberry.field(description="Why it was not judged.")
    failing_since: datetime | None = strawberry.field(description="Start of the open incident; null: none.")
    judged_at: datetime = strawberry.field(description="When it was judged.")


@strawberry.type(description="A batch: the unit of commit, `rowsIn = rowsLoaded + rowsDuplicate + rowsQuarantined`.")
class Batch:
    """A batch."""

    batch_id: strawberry.ID = strawberry.field(description="Key.")
    dataset: str = strawberry.field(description="What it holds.")
    source_kind: str = strawberry.field(description="file, kafka or replay.")
    source: str | None = strawberry.field(description="Where its file was read from; null for others.")
    rows_in: Long = strawberry.field(description="Records that arrived.")
    rows_loaded: Long = strawberry.field(description="Records that are in Silver.")
    rows_duplicate: Long = strawberry.field(description="Records that were there already.")
    rows_quarantined: Long = strawberry.field(description="Records refused.")
    rows_late: Long = strawberry.field(description="Records that came late.")
    min_event_at: datetime | None = strawberry.field(description="Earliest event time.")
    max_event_at: datetime | None = strawberry.field(description="Latest event time.")
    started_at: datetime = strawberry.field(description="When it was opened.")
    finished_at: datetime | None = strawberry.field(description="When it was finished.")


@strawberry.type(description="A page of batches.")
class BatchConnection:
    """A page of batches."""

    nodes: list[Batch] = strawberry.field(description="The newest first.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")


@strawberry.type(description="A refused record.")
class Refused:
    """A record in quarantine."""

    quarantine_id: strawberry.ID = strawberry.field(description="Key.")
    dataset: str = strawberry.field(description="What it should have been.")
    batch_id: strawberry.ID = strawberry.field(description="The batch it came in.")
    line: Long = strawberry.field(description="Line or record number in the source, from 1.")
    rules: list[str] = strawberry.field(description="Every rule it violates.")
    reason: str = strawberry.field(description="What is wrong, for people.")
    raw: str | None = strawberry.field(description="Its text as it came: may name a person.")
    quarantined_at: datetime = strawberry.field(description="When it was refused.")
    replayed_at: datetime | None = strawberry.field(description="When it was sent again.")


@strawberry.type(description="A page of refused records.")
class RefusedConnection:
    """A page of refused records."""

    nodes: list[Refused] = strawberry.field(description="The newest first.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")


@strawberry.type
class QualityQuery:
    """The part of Query about the data itself."""

    @strawberry.field(**marked(Scope.QUALITY, "Quality per dataset and day of loading.", cost=20, tags=("quality",)))
    async def data_quality(
        self,
        info: ApiInfo,
        from_: Annotated[date, argument(name="from", description="First day.")],
        to: Annotated[date, argument(description="Last day, inclusive.")],
        dataset: Annotated[Dataset | None, argument(description="Only this dataset.")] = None,
    ) -> list[QualityScore] | None:
        if not 0 <= (to - from_).days <= 400:
            raise ArgumentProblem("to", "the range is empty or too long", allowed=["up to 400 days"])
        rows = await info.context.read(
            sql.SQL(
                "SELECT q.* FROM quality.score_by_day AS q WHERE q.day BETWEEN {} AND {} AND {} ORDER BY q.day, 1"
            ).format(sql.Literal(from_), sql.Literal(to), _of("q", dataset))
        )
        return [QualityScore(**row) for row in rows]

    @strawberry.field(**marked(Scope.QUALITY, "How far each dataset has come.", cost=10, tags=("quality",), seconds=5))
    async def freshness(self, info: ApiInfo) -> list[Freshness] | None:
        rows = await info.context.read(sql.SQL("SELECT f.* FROM ops.freshness AS f ORDER BY f.dataset"))
        return [Freshness(**row) for row in rows]

    @strawberry.field(
        # A check changes it without a batch, so no part of Gold tells when a cached answer is old.
        **marked(Scope.QUALITY, "What is expected of datasets, and what came of it last.", cost=20)
    )
    async def expectations(
        self,
        info: ApiInfo,
        dataset: Annotated[Dataset | None, argument(description="Only this dataset.")] = None,
        failing_only: Annotated[bool, argument(description="Only what has an open incident.")] = False,
    ) -> list[Expectation] | None:
        rows = await info.context.read(
            sql.SQL(
                "SELECT s.dataset, s.rule, s.subject, s.kind, s.dimension, s.message, s.bucket, s.outcome, s.observed,"
                " s.at_least, s.at_most, s.reason, s.failing_since, s.judged_at FROM quality.expectation_status AS s"
                " WHERE {} AND {} ORDER BY s.dataset, s.rule, s.subject LIMIT 2000"
            ).format(_of("s", dataset), sql.SQL("s.failing_since IS NOT NULL" if failing_only else "true"))
        )
        return [Expectation(**row) for row in rows]

    @strawberry.field(**marked(Scope.QUALITY, "Batches, page by page; not for analysts.", size="first", default=50))
    async def batches(
        self,
        info: ApiInfo,
        dataset: Annotated[Dataset | None, argument(description="Only this dataset.")] = None,
        first: First = arguments.PAGE_DEFAULT,
        after: After = None,
    ) -> BatchConnection | None:
        size = arguments.page_size(first)
        rows = await info.context.read(
            sql.SQL(
                "SELECT b.batch_id::text, b.dataset, b.source_kind, f.uri AS source, b.rows_in, b.rows_loaded,"
                " b.rows_duplicate, b.rows_quarantined, b.rows_late, b.min_event_at, b.max_event_at, b.started_at,"
                " b.finished_at FROM ops.batch AS b LEFT JOIN ops.source_file AS f USING (file_id)"
                " WHERE {} AND {} ORDER BY b.batch_id DESC LIMIT {}"
            ).format(_of("b", dataset), _before("b.batch_id", after), sql.Literal(size + 1))
        )
        nodes = [Batch(**row) for row in rows[:size]]
        return BatchConnection(nodes=nodes, page_info=_page(len(rows) > size, nodes[-1].batch_id if nodes else None))

    @strawberry.field(
        **marked(
            Scope.QUALITY,
            "Refused records with their text, page by page; for engineers. Is written to the access log.",
            size="first",
            default=50,
        )
    )
    async def quarantine(
        self,
        info: ApiInfo,
        dataset: Annotated[Dataset | None, argument(description="Only this dataset.")] = None,
        rule: Annotated[str | None, argument(description="Only what violates this rule.")] = None,
        open_only: Annotated[bool, argument(description="Only what was not sent again.")] = False,
        first: First = arguments.PAGE_DEFAULT,
        after: After = None,
    ) -> RefusedConnection | None:
        size = arguments.page_size(first)
        conditions: list[sql.Composable] = [_of("q", dataset), _before("q.quarantine_id", after)]
        if rule is not None:
            conditions.append(sql.SQL("q.rules @> ARRAY[{}]::text[]").format(sql.Literal(arguments.text("rule", rule))))
        if open_only:
            conditions.append(sql.SQL("q.replayed_at IS NULL"))
        rows = await info.context.read(
            sql.SQL(
                "SELECT q.quarantine_id::text, q.dataset, q.batch_id::text, q.line, q.rules, q.reason, q.raw,"
                " q.quarantined_at, q.replayed_at FROM quality.quarantine AS q WHERE {}"
                " ORDER BY q.quarantine_id DESC LIMIT {}"
            ).format(sql.SQL(" AND ").join(conditions), sql.Literal(size + 1))
        )
        nodes = [Refused(**row) for row in rows[:size]]
        info.context.note("quarantine", [node.quarantine_id for node in nodes], len(nodes))
        last = nodes[-1].quarantine_id if nodes else None
        return RefusedConnection(nodes=nodes, page_info=_page(len(rows) > size, last))


def _of(alias: str, dataset: Dataset | None) -> sql.Composable:
    if dataset is None:
        return sql.SQL("true")
    return sql.SQL("{}.dataset = {}").format(sql.Identifier(alias), sql.Literal(dataset.value))


def _before(column: str, after: str | None) -> sql.Composable:
    if after is None:
        return sql.SQL("true")
    (key,) = arguments.decode_cursor(after, int)
    return sql.SQL("{} < {}").format(sql.Identifier(*column.split(".")), sql.Literal(key))


def _page(more: bool, last: str | None) -> PageInfo:
    return PageInfo(has_next_page=more, end_cursor=arguments.encode_cursor(int(last)) if last else None)
