"""Queries about what was worked out of Gold in batches: the tasks, what they found of cells, gaps in coverage."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

import psycopg
import strawberry
from psycopg import sql
from strawberry import argument

from telestream.db.sqlstate import SqlState
from telestream.graphql import arguments
from telestream.graphql.access import marked
from telestream.graphql.behaviour import CellDrift
from telestream.graphql.context import ApiInfo
from telestream.graphql.lookups import CELL_COLUMNS
from telestream.graphql.network_fields import Cell, First
from telestream.graphql.principal import Scope
from telestream.graphql.problems import ArgumentProblem
from telestream.graphql.scalars import Long

_GAPS = 200


@strawberry.type(description="A task that works something out of Gold, and its last run.")
class AnalyticsTask:
    """A task."""

    name: str = strawberry.field(description="Name, as `telestream analytics run` takes it.")
    description: str = strawberry.field(description="What it does.")
    is_enabled: bool = strawberry.field(description="Whether the schedule runs it.")
    is_overdue: bool = strawberry.field(description="It is enabled, and no run has ended well for a day and an hour.")
    status: str | None = strawberry.field(description="running, done or failed; null: it never ran.")
    started_at: datetime | None = strawberry.field(description="When the last run began.")
    seconds: float | None = strawberry.field(description="How long it took; null while it runs.")
    rows: Long | None = strawberry.field(description="Rows it wrote.")
    result: str | None = strawberry.field(description="What came of it, or the error.")


@strawberry.type(description="A cell that behaves otherwise than in the weeks before.")
class DriftingCell:
    """A drifting cell."""

    cell: Cell = strawberry.field(description="The cell.")
    drift: CellDrift = strawberry.field(description="How far its newest whole week lies from those before.")


@strawberry.type(description="A cell whose busy hour may exceed what it can carry.")
class CapacityRisk:
    """A cell at risk."""

    cell: Cell = strawberry.field(description="The cell.")
    first_day: date = strawberry.field(description="First day on which it may.")
    likeliest_day: date = strawberry.field(description="Day on which it is most likely.")
    probability_pct: float = strawberry.field(description="How likely that is, per cent.")
    capacity_erlangs: float = strawberry.field(description="What the cell can carry, Erlangs.")
    expected: float = strawberry.field(description="Median forecast of the busy hour of that day, Erlangs.")


@strawberry.type(description="A point with no active cell near it.")
class CoverageGap:
    """A gap."""

    latitude: float = strawberry.field(description="Degrees north.")
    longitude: float = strawberry.field(description="Degrees east.")
    nearest_cell_id: strawberry.ID | None = strawberry.field(
        description="The nearest active cell; null: there is none."
    )
    distance_km: float | None = strawberry.field(description="How far away that is.")


@strawberry.type
class AnalyticsQuery:
    """The part of Query about analytics."""

    @strawberry.field(**marked(Scope.QUALITY, "The tasks of analytics in the order the schedule runs them.", cost=5))
    async def analytics_tasks(self, info: ApiInfo) -> list[AnalyticsTask] | None:
        rows = await info.context.read(
            sql.SQL(
                "SELECT s.task AS name, s.description, s.is_enabled, s.is_overdue, s.status, s.started_at, s.seconds,"
                " s.rows, s.result FROM analytics.task_status AS s ORDER BY s.position"
            )
        )
        return [AnalyticsTask(**row) for row in rows]

    @strawberry.field(
        **marked(
            Scope.NETWORK,
            "Cells that behaved otherwise in the newest whole week than before, the furthest from chance first.",
            cost=10, size="first", default=arguments.PAGE_DEFAULT,
        )
    )  # fmt: skip
    async def drifting_cells(self, info: ApiInfo, first: First = arguments.PAGE_DEFAULT) -> list[DriftingCell] | None:
        rows = await info.context.read(
            sql.SQL(
                "SELECT d.week, d.distance, d.by_chance, d.is_drifting, d.records, d.past_records, d.past_weeks,"
                " {columns} FROM gold.cell_drift AS d INNER JOIN silver.dim_network_cell AS c USING (cell_key)"
                " INNER JOIN silver.dim_region AS r USING (region_key)"
                " WHERE d.is_drifting AND d.week = (SELECT max(w.week) FROM analytics.cell_drift AS w)"
                " ORDER BY d.distance / d.by_chance DESC, c.cell_id LIMIT {size}"
            ).format(columns=sql.SQL(CELL_COLUMNS), size=sql.Literal(arguments.page_size(first)))
        )
        names = ("week", "distance", "by_chance", "is_drifting", "records", "past_records", "past_weeks")
        return [DriftingCell(drift=CellDrift(**_taken(row, names)), cell=Cell(**row)) for row in rows]

    @strawberry.field(
        **marked(
            Scope.NETWORK,
            "Cells whose busy hour may exceed their capacity in the days of the newest forecast, the likeliest first.",
            cost=20, size="first", default=arguments.PAGE_DEFAULT,
        )
    )  # fmt: skip
    async def capacity_risks(self, info: ApiInfo, first: First = arguments.PAGE_DEFAULT) -> list[CapacityRisk] | None:
        rows = await info.context.read(
            sql.SQL(
                "SELECT k.first_day, k.day AS likeliest_day, k.probability_pct, k.capacity_erlangs, k.expected,"
                " {columns}"
                " FROM (SELECT DISTINCT ON (q.cell_key) q.* FROM gold.capacity_risk AS q"
                " ORDER BY q.cell_key, q.probability_pct DESC, q.day) AS k"
                " INNER JOIN silver.dim_network_cell AS c USING (cell_key)"
                " INNER JOIN silver.dim_region AS r ON c.region_key = r.region_key"
                " ORDER BY k.probability_pct DESC, k.first_day, c.cell_id LIMIT {size}"
            ).format(columns=sql.SQL(CELL_COLUMNS), size=sql.Literal(arguments.page_size(first)))
        )
        names = ("first_day", "likeliest_day", "probability_pct", "capacity_erlangs", "expected")
        return [CapacityRisk(**_taken(row, names), cell=Cell(**row)) for row in rows]

    @strawberry.field(
        **marked(
            Scope.NETWORK,
            "Points of a grid inside a region without an active cell within `gapKm`, the loneliest first. The grid has "
            "20,000 points at most.",
            cost=100, tags=("network_map",), size="first", default=_GAPS,
        )
    )  # fmt: skip
    async def coverage_gaps(
        self,
        info: ApiInfo,
        region: Annotated[str, argument(description="The region, with those in it.")],
        gap_km: Annotated[float, argument(description="No active cell so near, kilometres.")] = 5,
        step_km: Annotated[float, argument(description="Distance of the points of the grid, kilometres.")] = 2,
        technology: Annotated[str | None, argument(description="Only cells of this technology count.")] = None,
        first: First = _GAPS,
    ) -> list[CoverageGap] | None:
        statement = sql.SQL(
            "SELECT g.latitude, g.longitude, g.nearest_cell_id, g.distance_km"
            " FROM gold.coverage_gap({region}, {gap}, {step}, {technology}) AS g LIMIT {size}"
        ).format(
            region=sql.Literal(arguments.text("region", region)),
            gap=sql.Literal(arguments.kilometres("gapKm", gap_km)),
            step=sql.Literal(arguments.kilometres("stepKm", step_km)),
            technology=sql.Literal(technology and arguments.text("technology", technology)),
            size=sql.Literal(arguments.page_size(first)),
        )
        try:
            rows = await info.context.read(statement)
        except psycopg.DatabaseError as exc:
            if exc.sqlstate != SqlState.ANALYTICS_UNUSABLE:
                raise
            raise ArgumentProblem("stepKm", str(exc.diag.message_primary), hint=exc.diag.message_hint) from exc
        return [CoverageGap(**row) for row in rows]


def _taken(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row.pop(name) for name in names}
