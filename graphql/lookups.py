"""Loaders: what one request asks for by id becomes one statement per kind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg import sql
from strawberry.dataloader import DataLoader

if TYPE_CHECKING:
    from telestream.graphql.context import Context

CELL_COLUMNS = "c.cell_id, c.name, c.technology, c.latitude, c.longitude, r.region_code, c.is_placeholder"
_CELLS = f"SELECT {CELL_COLUMNS} FROM silver.dim_network_cell AS c INNER JOIN silver.dim_region AS r USING (region_key)"
REGIONS = (
    "SELECT r.region_code, r.name, p.region_code AS parent_code FROM silver.dim_region AS r"
    " LEFT JOIN silver.dim_region AS p ON r.parent_key = p.region_key"
)
PLANS = "SELECT p.plan_code, p.name, p.monthly_fee, p.currency FROM silver.dim_service_plan AS p"

Rows = list[dict[str, Any]]
UsageKey = tuple[int, datetime, datetime, str]
ProfileKey = tuple[int, datetime]
ForecastKey = tuple[str, str, int]
# Cell, how many, technology, region, kilometres.
SimilarKey = tuple[str, int, str | None, str | None, float | None]
_FINGERPRINTS = (
    "SELECT f.cell_id, f.last_week, f.weeks, f.slots, f.records, f.load_shares, f.failed_pct, f.dropped_pct,"
    " f.lost_pct, f.peer_distance, f.built_at FROM gold.cell_fingerprint AS f"
)
_DRIFTS = (
    "SELECT d.cell_id, d.week, d.distance, d.by_chance, d.is_drifting, d.records, d.past_records, d.past_weeks"
    " FROM gold.cell_drift AS d"
    " INNER JOIN (SELECT max(w.week) AS week FROM analytics.cell_drift AS w) AS n USING (week)"
)


class Lookups:
    """The loaders of one request; each remembers what it has found."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.cell: DataLoader[str, dict[str, Any] | None] = DataLoader(self._cells, max_batch_size=500)
        self.region: DataLoader[str, dict[str, Any] | None] = DataLoader(self._regions, max_batch_size=500)
        self.plan: DataLoader[str, dict[str, Any] | None] = DataLoader(self._plans, max_batch_size=500)
        self.usage: DataLoader[UsageKey, Rows] = DataLoader(self._usage, max_batch_size=500)
        self.fingerprint: DataLoader[str, dict[str, Any] | None] = DataLoader(self._fingerprints, max_batch_size=500)
        self.drift: DataLoader[str, dict[str, Any] | None] = DataLoader(self._drifts, max_batch_size=500)
        self.similar: DataLoader[SimilarKey, Rows] = DataLoader(self._similar, max_batch_size=500)
        self.opinion: DataLoader[int, dict[str, Any] | None] = DataLoader(self._opinions, max_batch_size=500)
        self.evidence: DataLoader[int, Rows] = DataLoader(self._evidence, max_batch_size=500)
        self.profile: DataLoader[ProfileKey, dict[str, Any] | None] = DataLoader(self._profiles, max_batch_size=500)
        self.segment: DataLoader[int, dict[str, Any] | None] = DataLoader(self._segments, max_batch_size=500)
        self.churn_risk: DataLoader[int, dict[str, Any] | None] = DataLoader(self._churn_risks, max_batch_size=500)
        self.similar_customers: DataLoader[tuple[int, int], Rows] = DataLoader(
            self._similar_customers, max_batch_size=500
        )
        self.forecast: DataLoader[ForecastKey, dict[str, Any] | None] = DataLoader(self._forecasts, max_batch_size=500)

    async def _cells(self, keys: list[str]) -> Sequence[dict[str, Any] | None]:
        return await self._by(_CELLS, "c.cell_id", "cell_id", keys)

    async def _regions(self, keys: list[str]) -> Sequence[dict[str, Any] | None]:
        return await self._by(REGIONS, "r.region_code", "region_code", keys)

    async def _plans(self, keys: list[str]) -> Sequence[dict[str, Any] | None]:
        return await self._by(PLANS, "p.plan_code", "plan_code", keys)

    async def _fingerprints(self, keys: list[str]) -> Sequence[dict[str, Any] | None]:
        return _without_key(await self._by(_FINGERPRINTS, "f.cell_id", "cell_id", keys), "cell_id")

    async def _drifts(self, keys: list[str]) -> Sequence[dict[str, Any] | None]:
        return _without_key(await self._by(_DRIFTS, "d.cell_id", "cell_id", keys), "cell_id")

    async def _similar(self, keys: list[SimilarKey]) -> list[Rows]:
        """Return similar cells; those asked for in the same way come with one statement."""
        found: dict[SimilarKey, Rows] = {key: [] for key in keys}
        for how in {key[1:] for key in keys}:
            rows = await self._context.read(
                sql.SQL(
                    "SELECT k.cell_id AS asked, s.distance, s.distance_km AS away_km, {columns}"
                    " FROM unnest({ids}::text[]) AS k (cell_id)"
                    " CROSS JOIN LATERAL analytics.similar_cells(k.cell_id, {how}) AS s"
                    " INNER JOIN silver.dim_network_cell AS c ON s.cell_key = c.cell_key"
                    " INNER JOIN silver.dim_region AS r USING (region_key) ORDER BY k.cell_id, s.distance, c.cell_id"
                ).format(
                    columns=sql.SQL(CELL_COLUMNS),
                    ids=sql.Literal([key[0] for key in keys if key[1:] == how]),
                    how=sql.SQL(", ").join(map(sql.Literal, how)),
                )
            )
            for row in rows:
                own = {name: row.pop(name) for name in ("asked", "distance", "away_km")}
                found[(own.pop("asked"), *how)].append({**own, "cell": row})
        return [found[key] for key in keys]

    async def _evidence(self, keys: list[int]) -> list[Rows]:
        rows = await self._context.read(
            sql.SQL(
                "SELECT e.case_id, e.measure, e.seen, e.threshold, e.peer, e.explanation, e.from_at, e.to_at"
                " FROM gold.fraud_evidence AS e WHERE e.case_id = ANY({}) ORDER BY e.case_id, e.position"
            ).format(sql.Literal(keys))
        )
        found: dict[int, Rows] = {key: [] for key in keys}
        for row in rows:
            found[row.pop("case_id")].append(row)
        return [found[key] for key in keys]

    async def _opinions(self, keys: list[int]) -> Sequence[dict[str, Any] | None]:
        rows = await self._context.read(
            sql.SQL(
                "SELECT k.id, o.o_opinion AS opinion, o.o_peers AS peers, o.o_alike AS alike"
                " FROM unnest({}::bigint[]) AS k (id) CROSS JOIN LATERAL analytics.second_opinion(k.id) AS o"
            ).format(sql.Literal(keys))
        )
        found = {row.pop("id"): row for row in rows}
        return [found.get(key) for key in keys]

    async def _by(self, select: str, column: str, name: str, keys: list[str]) -> list[dict[str, Any] | None]:
        rows = await self._context.read(
            sql.SQL("{} WHERE {} = ANY({})").format(
                sql.SQL(select),
                sql.SQL(column),
                sql.Literal(keys),
            )
        )
        found = {row[name]: row for row in rows}
        return [found.get(key) for key in keys]

    async def _usage(self, keys: list[UsageKey]) -> list[Rows]:
        """Return usage rows per customer; those of the same range and unit come with one statement."""
        found: dict[UsageKey, Rows] = {key: [] for key in keys}
        for start, end, unit in {key[1:] for key in keys}:
            rows = await self._context.read(
                sql.SQL(
                    "SELECT u.subscriber_id, date_trunc({unit}, u.day)::date AS period, u.record_type,"
                    " u.plan_code, u.currency, sum(u.events)::bigint AS events, sum(u.seconds)::bigint AS seconds,"
                    " sum(u.bytes_up)::bigint AS bytes_up, sum(u.bytes_down)::bigint AS bytes_down,"
                    " sum(u.charge) AS charge FROM gold.fact_customer_usage_daily AS u"
                    " WHERE u.subscriber_id = ANY({ids}) AND u.bucket >= {start} AND u.bucket < {end}"
                    " GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
                ).format(
                    unit=sql.Literal(unit),
                    ids=sql.Literal([key[0] for key in keys if key[1:] == (start, end, unit)]),
                    start=sql.Literal(start),
                    end=sql.Literal(end),
                )
            )
            for row in rows:
                found[(row["subscriber_id"], start, end, unit)].append(row)
        self._context.note("customer.usage", sorted({key[0] for key in keys}), sum(map(len, found.values())))
        return [found[key] for key in keys]

    async def _profiles(self, keys: list[ProfileKey]) -> list[dict[str, Any] | None]:
        """Return who had which number when; those of the same time come with one statement."""
        found: dict[ProfileKey, dict[str, Any]] = {}
        for moment in {key[1] for key in keys}:
            rows = await self._context.read(
                sql.SQL(
                    "SELECT h.subscriber_id, h.plan_code, h.region_code, h.segment, h.status, h.birth_decade,"
                    " h.valid_from, h.valid_to FROM gold.customer_history AS h"
                    " WHERE h.subscriber_id = ANY({ids}) AND h.holds @> {moment}"
                ).format(
                    ids=sql.Literal([key[0] for key in keys if key[1] == moment]),
                    moment=sql.Literal(moment),
                )
            )
            found |= {(row.pop("subscriber_id"), moment): row for row in rows}
        self._context.note("customer.profile", sorted({key[0] for key in keys}), len(found))
        return [found.get(key) for key in keys]

    async def _segments(self, keys: list[int]) -> list[dict[str, Any] | None]:
        columns = (
            "s.week, s.segment, s.recency_days, s.active_days, s.charge, s.currency, s.recency_score,"
            " s.frequency_score, s.monetary_score"
        )
        return await self._newest("customer.segment", "gold.customer_segment", columns, keys)

    async def _churn_risks(self, keys: list[int]) -> list[dict[str, Any] | None]:
        columns = "s.week, s.risk, s.horizon_weeks, s.features, s.contributions, s.version"
        return await self._newest("customer.churnRisk", "gold.churn_risk", columns, keys)

    async def _newest(self, field: str, view: str, columns: str, keys: list[int]) -> list[dict[str, Any] | None]:
        """Return what a view says of customers in its newest week."""
        rows = await self._context.read(
            sql.SQL(
                "SELECT s.subscriber_id, {columns} FROM {view} AS s WHERE s.subscriber_id = ANY({ids})"
                # Not max(): of a view that joins it would read all weeks.
                " AND s.week = (SELECT n.week FROM {view} AS n ORDER BY n.week DESC LIMIT 1)"
            ).format(columns=sql.SQL(columns), view=sql.Identifier(*view.split(".")), ids=sql.Literal(keys))
        )
        found = {row.pop("subscriber_id"): row for row in rows}
        self._context.note(field, sorted(keys), len(found))
        return [found.get(key) for key in keys]

    async def _similar_customers(self, keys: list[tuple[int, int]]) -> list[Rows]:
        """Return similar customers; those asked for as many come with one statement."""
        found: dict[tuple[int, int], Rows] = {key: [] for key in keys}
        for size in {key[1] for key in keys}:
            rows = await self._context.read(
                sql.SQL(
                    "SELECT k.id, s.subscriber_id, s.distance FROM unnest({ids}::bigint[]) AS k (id)"
                    " CROSS JOIN LATERAL analytics.similar_customers(k.id, {size}) AS s ORDER BY k.id, s.distance, 2"
                ).format(ids=sql.Literal([key[0] for key in keys if key[1] == size]), size=sql.Literal(size))
            )
            for row in rows:
                found[(row.pop("id"), size)].append(row)
        people = {key[0] for key in keys} | {row["subscriber_id"] for rows in found.values() for row in rows}
        self._context.note("customer.similar", sorted(people), sum(map(len, found.values())))
        return [found[key] for key in keys]

    async def _forecasts(self, keys: list[ForecastKey]) -> list[dict[str, Any] | None]:
        """Return the newest forecast of cells; those of the same measure and days come with one statement."""
        found: dict[ForecastKey, dict[str, Any]] = {}
        for measure, days in {key[1:] for key in keys}:
            rows = await self._context.read(
                sql.SQL(
                    "SELECT f.cell_id, f.measure, f.method, f.made_at, f.model, f.capacity_erlangs,"
                    " min(f.day) FILTER (WHERE f.upper_95 > f.capacity_erlangs) AS first_day_at_risk,"
                    " array_agg(f.day ORDER BY f.day) AS days, array_agg(f.expected ORDER BY f.day) AS expected,"
                    " array_agg(f.lower_80 ORDER BY f.day) AS lower80, array_agg(f.upper_80 ORDER BY f.day) AS upper80,"
                    " array_agg(f.lower_95 ORDER BY f.day) AS lower95, array_agg(f.upper_95 ORDER BY f.day) AS upper95"
                    " FROM gold.capacity_forecast AS f"
                    " WHERE f.cell_id = ANY({ids}) AND f.measure = {measure} AND f.horizon <= {days}"
                    " GROUP BY 1, 2, 3, 4, 5, 6"
                ).format(
                    ids=sql.Literal([key[0] for key in keys if key[1:] == (measure, days)]),
                    measure=sql.Literal(measure),
                    days=sql.Literal(days),
                )
            )
            found |= {(row.pop("cell_id"), measure, days): row for row in rows}
        return [found.get(key) for key in keys]


def _without_key(rows: list[dict[str, Any] | None], name: str) -> list[dict[str, Any] | None]:
    """Return rows without the column they were looked up by."""
    return [row and {column: value for column, value in row.items() if column != name} for row in rows]
