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

LONGEST = timedelta(days=2_000)
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
class Part:
    """Measures of one family, and the conditions on `v`."""

    family: Family
    names: Sequence[str]
    conditions: Sequence[sql.Composable] = ()


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


def grid(start: datetime, end: datetime, grain: str, zone: ZoneInfo, most: float = MOST_POINTS) -> Grid:
    """Return the whole buckets that a range touches, `most` at most.

    Raises:
        ArgumentProblem: there are too many.
    """
    first = _floor(start, grain, zone)
    last = _floor(end, grain, zone)
    if last < end:
        last = _next(last, grain, zone)
    made = Grid(grain, first, last, zone)
    if made.points > most:
        raise ArgumentProblem(
            "grain", f"the range has {made.points:,} buckets", allowed=[f"up to {most:,} buckets, or none given"]
        )
    return made


def statement(part: Part, wanted: Grid, operator_zone: ZoneInfo, key: str | None = None) -> Statement:
    """Return the statement for a family's measures.

    Its first row has `times`, the others `key` and an array per measure, `m0` to `mN`, in the order of the times.

    Raises:
        ArgumentProblem: too many values would come back.
    """
    family, names = part.family, part.names
    if wanted.points * len(names) * (MOST_SERIES if key else 1) > MOST_VALUES * (10 if key else 1):
        raise ArgumentProblem("kpis", "too many values", allowed=["fewer of them, a shorter range or a coarser grain"])
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
        "), agg AS MATERIALIZED ({aggregate}), keys AS ({keys}) "
        "SELECT array_agg(g.bucket ORDER BY g.bucket) AS times, NULL AS key, {nulls} FROM grid AS g"
        " UNION ALL SELECT NULL, s.* FROM ("
        "SELECT k.key, {values} FROM keys AS k CROSS JOIN grid AS g"
        " LEFT JOIN agg AS a ON g.bucket = a.bucket AND k.key = a.key GROUP BY k.key ORDER BY k.key) AS s"
    ).format(
        start=_time(wanted.start),
        end=_time(wanted.end),
        step=sql.SQL("interval {}").format(sql.Literal(_INTERVAL[wanted.grain])),
        zone=sql.Literal(wanted.zone.key),
        aggregate=_aggregate(part, columns, wanted, operator_zone, key),
        keys=sql.SQL("SELECT DISTINCT a.key FROM agg AS a ORDER BY a.key LIMIT {}").format(sql.Literal(MOST_SERIES + 1))
        if key
        else sql.SQL("SELECT 'total'::text AS key"),
        nulls=sql.SQL(", ").join(sql.SQL("NULL::double precision[] AS {}").format(column) for column in columns),
        values=sql.SQL(", ").join(values),
    )


def rows_statement(
    parts: Sequence[Part], names: Sequence[str], wanted: Grid, operator_zone: ZoneInfo, key: str | None = None
) -> Statement:
    """Return the statement for a row per bucket and key: `time`, `key` and a column per name, in that order.

    A bucket in which nothing happened has no row. Nothing limits how many rows there are.
    """
    columns = [[sql.Identifier(f"p{number}_{name}") for name in part.names] for number, part in enumerate(parts)]
    step = sql.SQL("interval {}").format(sql.Literal(_INTERVAL[wanted.grain]))
    length = sql.SQL("extract(EPOCH FROM date_add(bucket, {}, {}) - bucket)").format(step, sql.Literal(wanted.zone.key))
    values = {
        name: sql.SQL("({})::double precision AS {}").format(
            _value(part.family.measures[name], column, length), sql.Identifier(name)
        )
        for part, of_part in zip(parts, columns, strict=True)
        for name, column in zip(part.names, of_part, strict=True)
    }
    sources = [
        sql.SQL("({}) AS {}").format(
            _aggregate(part, of_part, wanted, operator_zone, key), sql.Identifier(f"p{number}")
        )
        for number, (part, of_part) in enumerate(zip(parts, columns, strict=True))
    ]
    joined = sources[0]
    for source in sources[1:]:
        joined = sql.SQL("{} FULL OUTER JOIN {} USING (bucket, key)").format(joined, source)
    return sql.SQL("SELECT bucket AS time, key, {} FROM {} ORDER BY bucket, key").format(
        sql.SQL(", ").join([values[name] for name in names]), joined
    )


def _aggregate(
    part: Part, columns: Sequence[sql.Identifier], wanted: Grid, operator_zone: ZoneInfo, key: str | None
) -> sql.Composed:
    """Return the query for `bucket`, `key` and the measures of a family, of the buckets that have data."""
    view, bucket = _source(part.family, wanted, operator_zone)
    return sql.SQL(
        "SELECT {bucket} AS bucket, {key} AS key, {measures} FROM {view} AS v"
        " WHERE v.bucket >= {start} AND v.bucket < {end} AND {condition} GROUP BY 1, 2"
    ).format(
        bucket=bucket,
        key=sql.SQL(part.family.keys[key]) if key else sql.SQL("'total'::text"),
        measures=sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(sql.SQL(part.family.measures[name].expression), column)
            for name, column in zip(part.names, columns, strict=True)
        ),
        view=sql.SQL(view),
        start=_time(wanted.start),
        end=_time(wanted.end),
        condition=sql.SQL(" AND ").join([sql.SQL(part.family.condition), *part.conditions]),
    )


def _filled(measure: Measure, column: sql.Identifier) -> sql.Composable:
    length = sql.SQL("extract(EPOCH FROM g.until - g.bucket)")
    return _value(measure, sql.SQL("a.{}").format(column), length)


def _value(measure: Measure, value: sql.Composable, seconds: sql.Composable) -> sql.Composable:
    """Return what a bucket shows, from what was aggregated and the length of the bucket."""
    if measure.per_second:
        value = sql.SQL("({} / {})").format(value, seconds)
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
