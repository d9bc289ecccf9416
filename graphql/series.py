"""Series in one statement: aggregated from the rollup that fits, on a grid without gaps, one array per measure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from psycopg import sql

from telestream.graphql.problems import ArgumentProblem
from telestream.graphql.reading import Statement

MOST_POINTS = 2_000
MOST_SERIES = 50
MOST_VALUES = 100_000
FIVE_MINUTES, HOUR, DAY = "5m", "1h", "1d"
_STEP = {FIVE_MINUTES: timedelta(minutes=5), HOUR: timedelta(hours=1), DAY: timedelta(days=1)}
_INTERVAL = {FIVE_MINUTES: "5 minutes", HOUR: "1 hour", DAY: "1 day"}
_UNIT = {HOUR: "hour", DAY: "day"}


@dataclass(frozen=True)
class Measure:
    """A column: SQL over `v`, its unit, and what an empty bucket has.

    `is_count`: nothing happened is 0; else there is no value. `per_second`: divided by the length of the bucket.
    """

    expression: str
    unit: str
    is_count: bool = False
    per_second: bool = False


@dataclass(frozen=True)
class Family:
    """Where measures come from: a view per grain, what is always asked of it, and what it can be split by.

    `regional`: the same measures from fewer rows, where no cell and no technology is asked for.
    """

    views: Mapping[str, str]
    measures: Mapping[str, Measure]
    keys: Mapping[str, str]
    condition: str = "true"
    regional: Family | None = None

    def over(self, key: str | None, *, of_cells: bool) -> Family:
        """Return the family to ask, where series are split by a key; `of_cells`: cells or technologies are picked."""
        if self.regional is None or of_cells or (key is not None and key not in self.regional.keys):
            return self
        return self.regional


@dataclass(frozen=True)
class Grid:
    """The buckets of a series: from `start` to before `end`, both at the start of a bucket in `zone`."""

    grain: str
    start: datetime
    end: datetime
    zone: ZoneInfo

    @property
    def points(self) -> int:
        """How many buckets there are, a day more or less."""
        return math.ceil((self.end - self.start) / _STEP[self.grain])


def automatic_grain(start: datetime, end: datetime) -> str:
    """Return a grain that gives a chart some hundred points."""
    length = end - start
    if length <= timedelta(hours=12):
        return FIVE_MINUTES
    return HOUR if length <= timedelta(days=14) else DAY


def grid(start: datetime, end: datetime, grain: str, zone: ZoneInfo) -> Grid:
    """Return the whole buckets that a range touches.

    Raises:
        ArgumentProblem: there are too many.
    """
    first = _floor(start, grain, zone)
    last = _floor(end, grain, zone)
    if last < end:
        last = _next(last, grain, zone)
    made = Grid(grain, first, last, zone)
    if made.points > MOST_POINTS:
        raise ArgumentProblem(
            "grain", f"the range has {made.points:,} buckets", allowed=[f"up to {MOST_POINTS:,} buckets, or none given"]
        )
    return made


def statement(
    family: Family,
    names: Sequence[str],
    wanted: Grid,
    operator_zone: ZoneInfo,
    *,
    key: str | None = None,
    filters: Sequence[sql.Composable] = (),
) -> Statement:
    """Return the statement for a family's measures.

    Its first row has `times`, the others `key` and an array per measure, `m0` to `mN`, in the order of the times.

    Raises:
        ArgumentProblem: too many values would come back.
    """
    if wanted.points * len(names) * (MOST_SERIES if key else 1) > MOST_VALUES * (10 if key else 1):
        raise ArgumentProblem("kpis", "too many values", allowed=["fewer of them, a shorter range or a coarser grain"])
    view, bucket = _source(family, wanted, operator_zone)
    measures = [family.measures[name] for name in names]
    columns = [sql.Identifier(f"m{position}") for position in range(len(names))]
    values = [
        sql.SQL("array_agg({} ORDER BY g.bucket)::double precision[] AS {}").format(_filled(one, column), column)
        for one, column in zip(measures, columns, strict=True)
    ]
    return sql.SQL(
        "WITH grid AS ("
        "SELECT g.bucket, coalesce(lead(g.bucket) OVER (ORDER BY g.bucket), {end}) AS until"
        " FROM generate_series({start}, {end}, {step}, {zone}) AS g (bucket) WHERE g.bucket < {end}"
        "), agg AS MATERIALIZED ("
        "SELECT {bucket} AS bucket, {key} AS key, {measures} FROM {view} AS v"
        " WHERE v.bucket >= {start} AND v.bucket < {end} AND {condition} GROUP BY 1, 2"
        "), keys AS ({keys}) "
        "SELECT array_agg(g.bucket ORDER BY g.bucket) AS times, NULL AS key, {nulls} FROM grid AS g"
        " UNION ALL SELECT NULL, s.* FROM ("
        "SELECT k.key, {values} FROM keys AS k CROSS JOIN grid AS g"
        " LEFT JOIN agg AS a ON g.bucket = a.bucket AND k.key = a.key GROUP BY k.key ORDER BY k.key) AS s"
    ).format(
        start=_time(wanted.start),
        end=_time(wanted.end),
        step=sql.SQL("interval {}").format(sql.Literal(_INTERVAL[wanted.grain])),
        zone=sql.Literal(wanted.zone.key),
        bucket=bucket,
        key=sql.SQL(family.keys[key]) if key else sql.SQL("'total'::text"),
        measures=sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(sql.SQL(one.expression), column)
            for one, column in zip(measures, columns, strict=True)
        ),
        view=sql.SQL(view),
        condition=sql.SQL(" AND ").join([sql.SQL(family.condition), *filters]),
        keys=sql.SQL("SELECT DISTINCT a.key FROM agg AS a ORDER BY a.key LIMIT {}").format(sql.Literal(MOST_SERIES + 1))
        if key
        else sql.SQL("SELECT 'total'::text AS key"),
        nulls=sql.SQL(", ").join(sql.SQL("NULL::double precision[] AS {}").format(column) for column in columns),
        values=sql.SQL(", ").join(values),
    )


def _filled(measure: Measure, column: sql.Identifier) -> sql.Composed:
    value = sql.SQL("a.{}").format(column)
    if measure.per_second:
        value = sql.SQL("({} / extract(EPOCH FROM g.until - g.bucket))").format(value)
    return sql.SQL("coalesce({}, 0)").format(value) if measure.is_count else value


def _source(family: Family, wanted: Grid, operator_zone: ZoneInfo) -> tuple[str, sql.Composable]:
    """Return the coarsest view that the buckets can be made of, and how."""
    own = sql.SQL("v.bucket")
    grain, views = wanted.grain, family.views
    if grain == FIVE_MINUTES:
        return views[FIVE_MINUTES], own
    if grain == DAY and DAY in views and wanted.zone.key == operator_zone.key:
        return views[DAY], own
    made = sql.SQL("date_trunc({}, v.bucket, {})").format(sql.Literal(_UNIT[grain]), sql.Literal(wanted.zone.key))
    if HOUR in views and _has_whole_hours(wanted):
        return views[HOUR], own if grain == HOUR else made
    if FIVE_MINUTES in views:
        return views[FIVE_MINUTES], made
    raise ArgumentProblem("timeZone", "this is kept by days of the operator", allowed=[operator_zone.key])


def _has_whole_hours(wanted: Grid) -> bool:
    at = wanted.start
    while at <= wanted.end + timedelta(days=30):
        offset = min(at, wanted.end).astimezone(wanted.zone).utcoffset() or timedelta()
        if offset % timedelta(hours=1):
            return False
        at += timedelta(days=30)
    return True


def _floor(at: datetime, grain: str, zone: ZoneInfo) -> datetime:
    local = at.astimezone(zone)
    match grain:
        case "5m":
            return datetime.fromtimestamp(at.timestamp() // 300 * 300, UTC)
        case "1h":
            back = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
            return at.astimezone(UTC) - back
    return datetime(local.year, local.month, local.day, tzinfo=zone).astimezone(UTC)


def _next(at: datetime, grain: str, zone: ZoneInfo) -> datetime:
    if grain != DAY:
        return at + _STEP[grain]
    local = at.astimezone(zone)
    following = local.date() + timedelta(days=1)
    return datetime(following.year, following.month, following.day, tzinfo=zone).astimezone(UTC)


def _time(at: datetime) -> sql.Composed:
    return sql.SQL("timestamptz {}").format(sql.Literal(at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")))
