"""Queries about the network: cells, regions, plans, what is happening now, and KPI series."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import strawberry
from psycopg import errors, sql
from strawberry import argument

from telestream.graphql import arguments, selections, series
from telestream.graphql.access import marked
from telestream.graphql.behaviour import CellDrift, CellFingerprint
from telestream.graphql.context import ApiInfo, Context
from telestream.graphql.hot import HotWindow
from telestream.graphql.lookups import CELL_COLUMNS, PLANS, REGIONS
from telestream.graphql.measures import RADIO
from telestream.graphql.principal import Scope
from telestream.graphql.problems import ArgumentProblem
from telestream.graphql.scalars import PageInfo, choice
from telestream.graphql.selections import Selection

# How long a window stays in Redis, and how far back Gold is asked when Redis is away.
_HOT = timedelta(minutes=15)

From = Annotated[datetime, argument(name="from", description="Start, with offset; widened to whole buckets.")]
To = Annotated[datetime, argument(name="to", description="End, exclusive, with offset; widened to whole buckets.")]
Zone = Annotated[str | None, argument(description="IANA time zone of days and hours; the operator's if left out.")]
First = Annotated[int, argument(description="Size of the page, 1 to 500.")]
After = Annotated[str | None, argument(description="`pageInfo.endCursor` of the page before.")]


@strawberry.enum(description="Width of a bucket.")
class Grain(enum.Enum):
    """A grain that rollups exist for."""

    FIVE_MINUTES = choice(series.FIVE_MINUTES, "Five minutes, UTC.")
    HOUR = choice(series.HOUR, "An hour of the time zone.")
    DAY = choice(series.DAY, "A day of the time zone: 23 or 25 hours twice a year.")


# The functional form, through a name that mypy does not try to understand.
_Enum: Any = enum.Enum

_KPI_TEXT = {
    "EVENTS": "Network events.",
    "DROPS": "Lost connections.",
    "ALARMS": "Alarms.",
    "DROP_RATE_PCT": "Lost connections per 100 attaches, set-ups and handovers.",
    "ATTACH_FAILURE_PCT": "Failed attaches per 100.",
    "RRC_FAILURE_PCT": "Failed connection set-ups per 100.",
    "HANDOVER_FAILURE_PCT": "Failed handovers per 100.",
    "RSRP_DBM": "Mean reference signal received power, dBm.",
    "SINR_DB": "Mean signal to interference and noise ratio, dB.",
    "LATENCY_MS": "Mean round trip, ms.",
    "LATENCY_MS_P95": "95th percentile of the round trip, ms, interpolated within fixed bounds.",
    "PACKET_LOSS_PCT": "Mean packet loss, per cent.",
    "THROUGHPUT_DOWN_KBPS": "Mean throughput to subscribers, kbit/s.",
    "THROUGHPUT_UP_KBPS": "Mean throughput from subscribers, kbit/s.",
    "ATTEMPTS": "Voice call attempts.",
    "ANSWERED": "Answered voice calls.",
    "ASR_PCT": "Answer-seizure ratio: answered per 100 attempts.",
    "ACD_S": "Average call duration, seconds.",
    "NER_PCT": "Network effectiveness ratio, ITU-T E.411.",
    "VOICE_DROP_PCT": "Lost calls per 100 answered.",
    "ERLANGS": "Mean number of calls in progress.",
}
Kpi: Any = strawberry.enum(
    _Enum("Kpi", {name: choice(name, text) for name, text in _KPI_TEXT.items()}),
    description="KPIs of the radio network, from network events, and of voice, from CDRs.",
)

_TRAFFIC_TEXT = {
    "ATTEMPTS": "Records: call attempts, messages or data sessions.",
    "ANSWERED": "Answered calls.",
    "FAILED": "Failed or congested attempts.",
    "DROPPED": "Answered calls that were lost.",
    "SECONDS": "Billed seconds, or session seconds where nothing is billed.",
    "BYTES_UP": "Bytes from subscribers.",
    "BYTES_DOWN": "Bytes to subscribers.",
}
TrafficMeasure: Any = strawberry.enum(
    _Enum("TrafficMeasure", {k: choice(k, v) for k, v in _TRAFFIC_TEXT.items()}),
    description="Measures of traffic, from CDRs.",
)


@strawberry.enum(description="What a KPI series is split by.")
class PerformanceKey(enum.Enum):
    """A key of networkPerformance."""

    CELL = choice("CELL", "One series per cell.")
    REGION = choice("REGION", "One series per region.")
    TECHNOLOGY = choice("TECHNOLOGY", "One series per radio technology.")


@strawberry.enum(description="What a traffic series is split by.")
class TrafficKey(enum.Enum):
    """A key of traffic."""

    CELL = choice("CELL", "One series per cell.")
    REGION = choice("REGION", "One series per region.")
    TECHNOLOGY = choice("TECHNOLOGY", "One series per technology of the cell.")
    RECORD_TYPE = choice("RECORD_TYPE", "voice, sms, mms, data and other.")


@strawberry.type(description="One measure of a series.")
class Column:
    """A measure as one list."""

    name: str = strawberry.field(description="Name of the KPI or measure.")
    unit: str = strawberry.field(description="Unit; 1 for a count.")
    values: list[float | None] = strawberry.field(
        description="A value per entry of `times`. A bucket without data has 0 for a count, else null."
    )


@strawberry.type(description="The measures of one key.")
class Series:
    """A key with its columns."""

    key: str = strawberry.field(description="Cell, region or whatever it is split by; `total` if it is not split.")
    columns: list[Column] = strawberry.field(description="In the order they were asked for.")


@strawberry.type(description="Series on a common grid of times, without gaps.")
class SeriesSet:
    """Series as columns."""

    grain: Grain = strawberry.field(description="Width of a bucket: as asked for, or chosen for the range.")
    time_zone: str = strawberry.field(description="Time zone of the buckets.")
    times: list[datetime] = strawberry.field(description="Starts of the buckets, in the time zone.")
    series: list[Series] = strawberry.field(description="One per key, at most 50.")


@strawberry.type(description="A region of the network.")
class Region:
    """A region."""

    region_code: strawberry.ID = strawberry.field(description="Code as sources write it, e.g. GB-LND.")
    name: str = strawberry.field(description="Name for people.")
    parent_code: str | None = strawberry.field(description="The region this one lies in.")


@strawberry.type(description="A service plan.")
class Plan:
    """A plan."""

    plan_code: strawberry.ID = strawberry.field(description="Code as sources write it.")
    name: str = strawberry.field(description="Name for people.")
    monthly_fee: Decimal | None = strawberry.field(description="Fee per month in `currency`.")
    currency: str | None = strawberry.field(description="ISO 4217 code.")


@strawberry.type(description="A cell of the network.")
class Cell:
    """A cell."""

    cell_id: strawberry.ID = strawberry.field(description="ECGI (mcc-mnc-eci) or lac-ci as sources write it.")
    name: str = strawberry.field(description="Name for people.")
    technology: str | None = strawberry.field(description="2g, 3g, 4g, 5g, fixed or ip.")
    latitude: float | None = strawberry.field(description="Degrees north, WGS 84.")
    longitude: float | None = strawberry.field(description="Degrees east, WGS 84.")
    region_code: str = strawberry.field(description="Region the cell lies in.")
    is_placeholder: bool = strawberry.field(description="Seen in traffic, and not described yet.")
    distance_km: float | None = strawberry.field(
        description="Distance from `near`, kilometres; null without it.", default=None
    )

    @strawberry.field(description="The region, by one statement for all cells of a request.", metadata={"cost": 2})
    async def region(self, info: ApiInfo) -> Region | None:
        row = await info.context.lookups.region.load(self.region_code)
        return Region(**row) if row else None

    @strawberry.field(
        description="How it behaves over the week; null for a cell with too little history. By one statement for all"
        " cells of a request. Made each night.",
        metadata={"cost": 5},
    )
    async def fingerprint(self, info: ApiInfo) -> CellFingerprint | None:
        row = await info.context.lookups.fingerprint.load(self.cell_id)
        return CellFingerprint(**row) if row else None

    @strawberry.field(
        description="How far its newest whole week lies from those before; null where there is nothing to compare.",
        metadata={"cost": 5},
    )
    async def drift(self, info: ApiInfo) -> CellDrift | None:
        row = await info.context.lookups.drift.load(self.cell_id)
        return CellDrift(**row) if row else None

    @strawberry.field(
        description="The cells that behave most like it, the most alike first; none where it has too little history.",
        metadata={"cost": 50, "size": "first", "default": arguments.SIMILAR_DEFAULT},
    )
    async def similar(
        self,
        info: ApiInfo,
        first: Annotated[int, argument(description="How many, 1 to 100.")] = arguments.SIMILAR_DEFAULT,
        technology: Annotated[str | None, argument(description="Only cells of this technology.")] = None,
        region: Annotated[str | None, argument(description="Only cells of this region and those in it.")] = None,
        within_km: Annotated[float | None, argument(description="Only cells this near to it, kilometres.")] = None,
    ) -> list[SimilarCell]:
        rows = await info.context.lookups.similar.load(
            (
                self.cell_id,
                arguments.similar_size(first),
                technology and arguments.text("technology", technology),
                region and arguments.text("region", region),
                arguments.kilometres("withinKm", within_km),
            )
        )
        return [SimilarCell(distance=row["distance"], away_km=row["away_km"], cell=Cell(**row["cell"])) for row in rows]


@strawberry.type(description="A cell that behaves like another.")
class SimilarCell:
    """A similar cell."""

    cell: Cell = strawberry.field(description="The cell.")
    distance: float = strawberry.field(description="Distance of the two fingerprints, 0 for the same behaviour.")
    away_km: float | None = strawberry.field(description="How far it is away, kilometres; null without a place.")


@strawberry.enum(description="Why something asked for by id is not there.")
class LookupReason(enum.Enum):
    """A reason for null."""

    UNKNOWN_ID = choice("UNKNOWN_ID", "There is nothing with this id.")


@strawberry.type(description="A cell asked for by id.")
class CellLookup:
    """A cell, or why there is none."""

    cell: Cell | None = strawberry.field(description="The cell; null if there is none of this id.")
    reason: LookupReason | None = strawberry.field(description="Why it is null; null if it is not.")


@strawberry.type(description="A page of cells.")
class CellConnection:
    """A page of cells."""

    nodes: list[Cell] = strawberry.field(description="By distance with `near`, else by id.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")


@strawberry.input(description="Within a distance of a point.")
class Near:
    """A circle."""

    latitude: float = strawberry.field(description="Degrees north, WGS 84.")
    longitude: float = strawberry.field(description="Degrees east, WGS 84.")
    radius_km: float = strawberry.field(description="Kilometres, up to 500.")


@strawberry.input(description="Within a rectangle of degrees; it must not cross the 180th meridian.")
class Within:
    """A rectangle."""

    south: float = strawberry.field(description="Lowest latitude.")
    west: float = strawberry.field(description="Lowest longitude.")
    north: float = strawberry.field(description="Highest latitude.")
    east: float = strawberry.field(description="Highest longitude.")


@strawberry.enum(description="Where live windows come from.")
class LiveSource(enum.Enum):
    """A source of windows."""

    REDIS = choice("REDIS", "The cache that consumers keep, current within a second.")
    GOLD = choice("GOLD", "The database, because the cache does not answer.")


@strawberry.type(description="A 5-minute window of network events, as far as it has come.")
class Window:
    """A window."""

    cell_id: strawberry.ID | None = strawberry.field(description="Cell; null for the whole network.")
    technology: str | None = strawberry.field(description="2g, 3g, 4g, 5g or unknown; null for the whole network.")
    bucket: datetime = strawberry.field(description="Start of the window.")
    events: int = strawberry.field(description="Events.")
    drops: int = strawberry.field(description="Lost connections.")
    handover_failures: int = strawberry.field(description="Failed handovers.")
    latency_ms_mean: float | None = strawberry.field(description="Mean round trip, ms.")
    rsrp_dbm_mean: float | None = strawberry.field(description="Mean signal strength, dBm.")
    throughput_down_kbps_mean: float | None = strawberry.field(description="Mean throughput to subscribers, kbit/s.")

    @classmethod
    def of(cls, window: HotWindow) -> Window:
        """Return a window as the schema has it."""
        fields = dict(vars(window))
        return cls(**fields)


@strawberry.type(description="The current windows.")
class Realtime:
    """Windows now."""

    source: LiveSource = strawberry.field(description="Where they come from.")
    network: Window | None = strawberry.field(description="The whole network; null if nothing came for 15 minutes.")
    cells: list[Window] = strawberry.field(description="The cells asked for that have a window.")


async def series_set(
    context: Context,
    selection: Selection,
    start: datetime,
    end: datetime,
    grain: Grain | None,
    time_zone: str | None,
) -> SeriesSet:
    """Return series of several families on one grid; one statement per family."""
    start, end = arguments.time_range(start, end, series.LONGEST)
    zone = arguments.zone(time_zone) if time_zone else context.services.zone
    wanted = series.grid(start, end, grain.value if grain else series.automatic_grain(start, end), zone)
    times: list[datetime] = []
    columns: dict[str, dict[str, Column]] = {}
    for part in selection.parts:
        statement = series.statement(part, wanted, context.services.zone, selection.key)
        try:
            head, *rows = await context.read(statement)
        except errors.InvalidParameterValue as exc:
            raise arguments.zone_unknown_to_database() from exc
        times = [at.astimezone(zone) for at in head["times"]]
        if len(rows) > series.MOST_SERIES:
            raise ArgumentProblem(
                "by", "there are too many series", allowed=[f"up to {series.MOST_SERIES}: name cells or a region"]
            )
        for row in rows:
            found = columns.setdefault(row["key"], {})
            for position, name in enumerate(part.names):
                found[name] = Column(name=name, unit=part.family.measures[name].unit, values=row[f"m{position}"])
    empty: list[float | None] = [None] * len(times)
    units = {name: part.family.measures[name].unit for part in selection.parts for name in part.names}
    return SeriesSet(
        grain=Grain(wanted.grain),
        time_zone=zone.key,
        times=times,
        series=[
            Series(
                key=name,
                columns=[found.get(one) or Column(name=one, unit=units[one], values=empty) for one in selection.names],
            )
            for name, found in sorted(columns.items())
        ],
    )


@strawberry.type
class NetworkQuery:
    """The part of Query about the network."""

    @strawberry.field(
        **marked(
            Scope.NETWORK,
            "KPI series as columns, gaps filled. The grain is chosen for the range if left out: 5 minutes up to 12 "
            "hours, an hour up to 14 days, else a day.",
            cost=40,
            tags=("network", "traffic", "network_map"),
        )
    )
    async def network_performance(
        self,
        info: ApiInfo,
        kpis: Annotated[list[Kpi], argument(description="1 to 12 KPIs.")],
        from_: From,
        to: To,
        cells: Annotated[list[strawberry.ID] | None, argument(description="Only these cells, up to 500.")] = None,
        region: Annotated[str | None, argument(description="Only this region.")] = None,
        technology: Annotated[str | None, argument(description="Only this technology.")] = None,
        grain: Annotated[Grain | None, argument(description="Width of a bucket.")] = None,
        time_zone: Zone = None,
        by: Annotated[PerformanceKey | None, argument(description="Split by this; left out: one series.")] = None,
    ) -> SeriesSet | None:
        selection = selections.network_performance(
            [kpi.value for kpi in kpis], cells, region, technology, by.value if by else None
        )
        return await series_set(info.context, selection, from_, to, grain, time_zone)

    @strawberry.field(**marked(Scope.NETWORK, "Traffic series from CDRs.", cost=30, tags=("traffic", "network_map")))
    async def traffic(
        self,
        info: ApiInfo,
        measures: Annotated[list[TrafficMeasure], argument(description="What to count.")],
        from_: From,
        to: To,
        cells: Annotated[list[strawberry.ID] | None, argument(description="Only these cells, up to 500.")] = None,
        region: Annotated[str | None, argument(description="Only this region.")] = None,
        record_type: Annotated[str | None, argument(description="voice, sms, mms, data or other.")] = None,
        grain: Annotated[Grain | None, argument(description="Width of a bucket.")] = None,
        time_zone: Zone = None,
        by: Annotated[TrafficKey | None, argument(description="Split by this; left out: one series.")] = None,
    ) -> SeriesSet | None:
        selection = selections.traffic(
            [measure.value for measure in measures], cells, region, record_type, by.value if by else None
        )
        return await series_set(info.context, selection, from_, to, grain, time_zone)

    @strawberry.field(
        **marked(
            Scope.NETWORK,
            "The current 5-minute windows of the network and of cells: from the cache, from Gold when that is away.",
            cost=10,
        )
    )
    async def realtime_metrics(
        self,
        info: ApiInfo,
        cells: Annotated[list[strawberry.ID] | None, argument(description="Windows of these cells, up to 500.")] = None,
        region: Annotated[str | None, argument(description="Windows of the cells of this region, up to 500.")] = None,
    ) -> Realtime | None:
        wanted = arguments.ids("cells", cells) or []
        if region is not None:
            rows = await info.context.read(
                sql.SQL(
                    "SELECT c.cell_id FROM silver.dim_network_cell AS c INNER JOIN silver.dim_region AS r"
                    " USING (region_key) WHERE r.region_code = {} ORDER BY c.cell_id LIMIT {}"
                ).format(sql.Literal(arguments.text("region", region)), sql.Literal(arguments.LIST_LARGEST))
            )
            of_region = {row["cell_id"] for row in rows}
            wanted = sorted(of_region.intersection(wanted) if cells is not None else of_region)
        found = await info.context.services.hot.read(wanted)
        if found is not None:
            network = Window.of(found[0]) if found[0] else None
            return Realtime(source=LiveSource.REDIS, network=network, cells=[Window.of(one) for one in found[1]])
        return await _windows_of_gold(info.context, wanted)

    @strawberry.field(**marked(Scope.NETWORK, "Cells, page by page.", tags=("network_map",), size="first", default=50))
    async def cells(
        self,
        info: ApiInfo,
        near: Annotated[Near | None, argument(description="Only cells in this circle, the nearest first.")] = None,
        within: Annotated[Within | None, argument(description="Only cells in this rectangle.")] = None,
        region: Annotated[str | None, argument(description="Only cells of this region and those in it.")] = None,
        technology: Annotated[str | None, argument(description="Only cells of this technology.")] = None,
        first: First = arguments.PAGE_DEFAULT,
        after: After = None,
    ) -> CellConnection | None:
        size = arguments.page_size(first)
        conditions: list[sql.Composable] = [sql.SQL("c.cell_key <> 0")]
        circle: sql.Composable = _circle(near) if near else sql.SQL("")
        if within is not None:
            conditions.append(_rectangle(within))
        if region is not None:
            conditions.append(
                sql.SQL("c.cell_key IN (SELECT i.cell_key FROM gold.cells_of_region({}) AS i)").format(
                    sql.Literal(arguments.text("region", region))
                )
            )
        if technology is not None:
            conditions.append(
                sql.SQL("c.technology = {}").format(sql.Literal(arguments.text("technology", technology)))
            )
        order = sql.SQL("q.distance_km, q.cell_id") if near else sql.SQL("q.cell_id")
        beyond: sql.Composable = sql.SQL("true")
        if after is not None and near is not None:
            at, cell_id = arguments.decode_cursor(after, float, str)
            beyond = sql.SQL("(q.distance_km, q.cell_id) > ({}, {})").format(sql.Literal(at), sql.Literal(cell_id))
        elif after is not None:
            (cell_id,) = arguments.decode_cursor(after, str)
            beyond = sql.SQL("q.cell_id > {}").format(sql.Literal(cell_id))
        rows = await info.context.read(
            sql.SQL(
                "SELECT q.* FROM (SELECT {columns}, {distance} AS distance_km FROM silver.dim_network_cell AS c"
                " INNER JOIN silver.dim_region AS r USING (region_key) {circle} WHERE {where}) AS q"
                " WHERE {beyond} ORDER BY {order} LIMIT {limit}"
            ).format(
                columns=sql.SQL(CELL_COLUMNS),
                distance=sql.SQL("n.distance_km" if near else "NULL::double precision"),
                circle=circle,
                where=sql.SQL(" AND ").join(conditions),
                beyond=beyond,
                order=order,
                limit=sql.Literal(size + 1),
            )
        )
        nodes = [Cell(**row) for row in rows[:size]]
        end = nodes[-1] if nodes else None
        cursor = None
        if end is not None:
            cursor = (
                arguments.encode_cursor(end.distance_km, end.cell_id)
                if near
                else (arguments.encode_cursor(end.cell_id))
            )
        return CellConnection(nodes=nodes, page_info=PageInfo(has_next_page=len(rows) > size, end_cursor=cursor))

    @strawberry.field(**marked(Scope.NETWORK, "One cell.", cost=5, tags=("network_map",)))
    async def cell(
        self, info: ApiInfo, id: Annotated[strawberry.ID, argument(description="Cell as sources write it.")]
    ) -> CellLookup | None:
        row = await info.context.lookups.cell.load(arguments.text("id", id))
        if row is None:
            return CellLookup(cell=None, reason=LookupReason.UNKNOWN_ID)
        return CellLookup(cell=Cell(**row), reason=None)

    @strawberry.field(**marked(Scope.NETWORK, "All regions.", cost=5, tags=("network_map",)))
    async def regions(self, info: ApiInfo) -> list[Region] | None:
        rows = await info.context.read(sql.SQL(REGIONS + " WHERE r.region_key <> 0 ORDER BY 1 LIMIT 2000"))
        return [Region(**row) for row in rows]

    @strawberry.field(**marked(Scope.NETWORK, "All service plans.", cost=5, tags=("network_map",)))
    async def plans(self, info: ApiInfo) -> list[Plan] | None:
        rows = await info.context.read(sql.SQL(PLANS + " WHERE p.plan_key <> 0 ORDER BY 1 LIMIT 2000"))
        return [Plan(**row) for row in rows]


def _circle(near: Near) -> sql.Composable:
    if not (-90 <= near.latitude <= 90 and -180 <= near.longitude <= 180 and 0 < near.radius_km <= 500):
        raise ArgumentProblem(
            "near", "it cannot be used", allowed=["latitude ±90", "longitude ±180", "radiusKm up to 500"]
        )
    return sql.SQL("INNER JOIN gold.cells_near({}, {}, {}) AS n USING (cell_key)").format(
        sql.Literal(near.latitude), sql.Literal(near.longitude), sql.Literal(near.radius_km)
    )


def _rectangle(within: Within) -> sql.Composable:
    west, south, east, north = within.west, within.south, within.east, within.north
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise ArgumentProblem(
            "within", "it is no rectangle of degrees", allowed=["west ≤ east within ±180, south ≤ north"]
        )
    return sql.SQL(
        "c.longitude IS NOT NULL AND point(c.longitude, c.latitude) <@ box(point({}, {}), point({}, {}))"
    ).format(sql.Literal(west), sql.Literal(south), sql.Literal(east), sql.Literal(north))


async def _windows_of_gold(context: Context, cells: list[str]) -> Realtime:
    since = datetime.now(UTC) - _HOT
    columns = (
        "sum(v.events)::bigint AS events, sum(v.drops)::bigint AS drops,"
        " sum(v.handover_failures)::bigint AS handover_failures,"
        + ", ".join(
            f"({RADIO.measures[name].expression})::double precision AS {column}"
            for name, column in (
                ("LATENCY_MS", "latency_ms_mean"),
                ("RSRP_DBM", "rsrp_dbm_mean"),
                ("THROUGHPUT_DOWN_KBPS", "throughput_down_kbps_mean"),
            )
        )
    )
    rows = await context.read(
        sql.SQL(
            "WITH w AS MATERIALIZED (SELECT * FROM gold.network_5m AS n WHERE n.bucket >= {since}),"
            " v AS (SELECT w.* FROM w WHERE w.bucket = (SELECT max(w.bucket) FROM w))"
            " SELECT v.cell_id, v.technology, max(v.bucket) AS bucket, {columns} FROM v"
            " GROUP BY GROUPING SETS ((v.cell_id, v.technology), ())"
            " HAVING grouping(v.cell_id) = 1 OR v.cell_id = ANY({cells})"
        ).format(since=sql.Literal(since), columns=sql.SQL(columns), cells=sql.Literal(cells))
    )
    windows = [HotWindow(**row) for row in rows if row["bucket"] is not None]
    network = next((Window.of(one) for one in windows if one.cell_id is None), None)
    return Realtime(
        source=LiveSource.GOLD, network=network, cells=[Window.of(one) for one in windows if one.cell_id is not None]
    )
