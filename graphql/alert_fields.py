"""Anomalies and alerts: listed, acknowledged, and as they happen."""

from __future__ import annotations

import enum
import uuid
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Any

import strawberry
from psycopg import sql
from strawberry import argument

from telestream.graphql import arguments
from telestream.graphql.access import marked
from telestream.graphql.behaviour import Opinion, SecondOpinion
from telestream.graphql.context import ApiInfo, Context
from telestream.graphql.live import Alert as LiveAlert
from telestream.graphql.network_fields import After, Cell, First, LookupReason, Window
from telestream.graphql.principal import Scope
from telestream.graphql.problems import ArgumentProblem
from telestream.graphql.scalars import PageInfo, choice

# Alerts that are caught up with at once.
_CATCH_UP = 500


@strawberry.enum(description="How bad an anomaly is.")
class Severity(enum.Enum):
    """A severity."""

    MINOR = choice("minor", "Worth a look.")
    MAJOR = choice("major", "Customers notice.")
    CRITICAL = choice("critical", "The cell serves nobody.")


@strawberry.type(description="A time in which a KPI of a cell was not normal.")
class Anomaly:
    """An anomaly."""

    anomaly_id: strawberry.ID = strawberry.field(description="Key, the same as in alerts.")
    cell_id: strawberry.ID = strawberry.field(description="Cell.")
    region_code: str = strawberry.field(description="Region of the cell.")
    kpi: str = strawberry.field(description="KPI, as in the table analytics.kpi.")
    description: str = strawberry.field(description="What it means.")
    severity: Severity = strawberry.field(description="How bad it is.")
    direction: str = strawberry.field(description="low: below normal; high: above.")
    started_at: datetime = strawberry.field(description="Start of the first bad window.")
    ended_at: datetime | None = strawberry.field(
        description="Start of the first good window after it; null while open."
    )
    is_open: bool = strawberry.field(description="True until it ends.")
    peak_at: datetime = strawberry.field(description="Start of the worst window.")
    peak_value: float = strawberry.field(description="Value in the worst window.")
    peak_z: float = strawberry.field(description="Robust z-score of the worst window.")
    median: float = strawberry.field(description="What was normal.")
    from_at: datetime = strawberry.field(description="Start of the time to look at.")
    to_at: datetime = strawberry.field(description="End of the time to look at.")
    acknowledged_at: datetime | None = strawberry.field(description="When somebody took charge of it.")
    acknowledged_by: str | None = strawberry.field(description="Who did: key:<key id> or jwt:<subject>.")
    acknowledge_note: str | None = strawberry.field(description="What they wrote.")

    @strawberry.field(description="The cell, by one statement for all anomalies of a request.", metadata={"cost": 2})
    async def cell(self, info: ApiInfo) -> Cell | None:
        row = await info.context.lookups.cell.load(self.cell_id)
        return Cell(**row) if row else None

    @strawberry.field(
        description="What the cells most like it showed at the same time; worked out when asked.", metadata={"cost": 50}
    )
    async def second_opinion(self, info: ApiInfo) -> SecondOpinion | None:
        row = await info.context.lookups.opinion.load(int(self.anomaly_id))
        return SecondOpinion(**row | {"opinion": Opinion(row["opinion"])}) if row else None


@strawberry.type(description="A page of anomalies.")
class AnomalyConnection:
    """A page of anomalies."""

    nodes: list[Anomaly] = strawberry.field(description="The newest first.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")


@strawberry.input(description="Which anomalies or alerts; all conditions must hold.")
class AlertFilter:
    """Conditions on anomalies and alerts."""

    severities: list[Severity] | None = strawberry.field(default=None, description="Only of these severities.")
    kpis: list[str] | None = strawberry.field(default=None, description="Only of these KPIs.")
    cells: list[strawberry.ID] | None = strawberry.field(default=None, description="Only of these cells.")
    region: str | None = strawberry.field(default=None, description="Only of cells in this region.")


@strawberry.input(description="Which anomalies; all conditions must hold.")
class AnomalyFilter(AlertFilter):
    """Conditions on anomalies."""

    from_: datetime | None = strawberry.field(default=None, name="from", description="Started at or after this.")
    to: datetime | None = strawberry.field(default=None, description="Started before this.")
    open_only: bool = strawberry.field(default=False, description="Only what has not ended.")
    unacknowledged_only: bool = strawberry.field(default=False, description="Only what nobody took charge of.")


@strawberry.type(description="What became of an acknowledgement.")
class Acknowledgement:
    """An anomaly and whether it was taken."""

    anomaly: Anomaly | None = strawberry.field(
        description="The anomaly as it is now; null if there is none of this id."
    )
    is_first: bool = strawberry.field(description="False: somebody else was first, see `anomaly.acknowledgedBy`.")
    reason: LookupReason | None = strawberry.field(description="Why there is none; null if there is.")


@strawberry.type(description="An alert: an anomaly opened or ended. Sent at least once, under a stable id.")
class Alert:
    """An alert."""

    alert_id: strawberry.ID = strawberry.field(description="Stable id: ignore one that was seen; resume after it.")
    anomaly_id: strawberry.ID = strawberry.field(description="The anomaly.")
    status: str = strawberry.field(description="open or ended.")
    severity: Severity = strawberry.field(description="How bad it is.")
    kpi: str = strawberry.field(description="KPI.")
    cell_id: strawberry.ID = strawberry.field(description="Cell.")
    technology: str | None = strawberry.field(description="Technology of the cell.")
    started_at: datetime = strawberry.field(description="Start of the first bad window.")
    ended_at: datetime | None = strawberry.field(description="Start of the first good window after it.")
    value: float = strawberry.field(description="Value in the worst window.")
    baseline: float = strawberry.field(description="What was normal.")
    z_score: float = strawberry.field(description="Robust z-score of the worst window.")
    message: str = strawberry.field(description="What happened, for people.")
    raised_at: datetime = strawberry.field(description="When it was raised.")

    # What was made of it for a query, so that a thousand subscribers of the same query cost one execution.
    rendered: strawberry.Private[dict[Any, str] | None] = None

    @classmethod
    def of(cls, payload: dict[str, Any]) -> Alert:
        """Return an alert from the fields of its notice."""
        ended = payload.get("ended_at")
        return cls(
            alert_id=strawberry.ID(str(payload["alert_id"])),
            anomaly_id=strawberry.ID(str(payload["anomaly_id"])),
            severity=Severity(payload["severity"]),
            started_at=datetime.fromisoformat(payload["started_at"]),
            ended_at=datetime.fromisoformat(ended) if ended else None,
            raised_at=datetime.fromisoformat(payload["raised_at"]),
            rendered=payload.rendered if isinstance(payload, LiveAlert) else None,
            technology=payload.get("technology"),
            **{name: payload[name] for name in ("status", "kpi", "cell_id", "value", "baseline", "z_score", "message")},
        )


@strawberry.type
class AlertQuery:
    """The part of Query about anomalies."""

    @strawberry.field(
        **marked(
            Scope.ALERTS,
            "Anomalies, page by page.",
            tags=("anomaly", "network_map"),
            seconds=60,
            size="first",
            default=50,
        )
    )
    async def anomalies(
        self,
        info: ApiInfo,
        filter: Annotated[AnomalyFilter | None, argument(description="Which anomalies.")] = None,
        first: First = arguments.PAGE_DEFAULT,
        after: After = None,
    ) -> AnomalyConnection | None:
        size = arguments.page_size(first)
        conditions = _conditions(filter or AnomalyFilter())
        if after is not None:
            (key,) = arguments.decode_cursor(after, int)
            conditions.append(sql.SQL("a.anomaly_id < {}").format(sql.Literal(key)))
        rows = await _anomalies(info.context, conditions, size + 1)
        nodes = rows[:size]
        end = arguments.encode_cursor(int(nodes[-1].anomaly_id)) if nodes else None
        return AnomalyConnection(nodes=nodes, page_info=PageInfo(has_next_page=len(rows) > size, end_cursor=end))


@strawberry.type
class AlertMutation:
    """The part of Mutation about anomalies."""

    @strawberry.mutation(**marked(Scope.ALERTS_WRITE, "Take charge of an anomaly; the first one wins.", cost=20))
    async def acknowledge_anomaly(
        self,
        info: ApiInfo,
        id: Annotated[strawberry.ID, argument(description="The anomaly.")],
        note: Annotated[str | None, argument(description="What others should know, up to 1,000 characters.")] = None,
    ) -> Acknowledgement:
        number = arguments.number("id", id)
        text = arguments.text("note", note, 1000) if note is not None else None
        context = info.context
        rows = await context.services.database.change(
            context.principal,
            sql.SQL("SELECT analytics.acknowledge({}, {}, {}) AS done").format(
                sql.Literal(number), sql.Literal(context.principal.name), sql.Literal(text)
            ),
        )
        done = rows[0]["done"]
        if done is None:
            return Acknowledgement(anomaly=None, is_first=False, reason=LookupReason.UNKNOWN_ID)
        found = await _anomalies(context, [sql.SQL("a.anomaly_id = {}").format(sql.Literal(number))], 1)
        return Acknowledgement(anomaly=found[0] if found else None, is_first=done, reason=None)


@strawberry.type
class AlertSubscription:
    """The part of Subscription about alerts; resolvers check the scope, since field extensions await what they wrap."""

    @strawberry.subscription(
        description="Alerts as they are raised. With `after`, first those raised since that one, then the new ones: "
        f"none is missed, one may come twice. Scope: {Scope.ALERTS}.",
    )
    async def alerts(
        self,
        info: ApiInfo,
        filter: Annotated[AlertFilter | None, argument(description="Which alerts.")] = None,
        after: Annotated[
            strawberry.ID | None, argument(description="`alertId` of the last alert that was received.")
        ] = None,
    ) -> AsyncGenerator[Alert, None]:
        info.context.require(Scope.ALERTS)
        wanted = await _wanted(info.context, filter)
        # Listening begins before what was missed is read, so that nothing falls in between.
        with info.context.services.hub.alerts() as subscriber:
            seen: set[str] = set()
            if after is not None:
                async for payload in _missed(info.context, after):
                    seen.add(str(payload["alert_id"]))
                    if wanted(payload):
                        yield Alert.of(payload)
            while True:
                live: LiveAlert = await subscriber.get()
                if str(live["alert_id"]) in seen:
                    continue
                if wanted(live):
                    yield Alert.of(live)

    @strawberry.subscription(
        description="The current windows of cells, whenever they change; a slow subscriber gets the newest only. "
        f"Scope: {Scope.NETWORK}.",
    )
    async def cell_metrics(
        self,
        info: ApiInfo,
        cells: Annotated[list[strawberry.ID], argument(description="Cells, up to 500.")],
    ) -> AsyncGenerator[list[Window], None]:
        info.context.require(Scope.NETWORK)
        wanted = frozenset(arguments.ids("cells", cells) or [])
        async for windows in info.context.services.hub.windows(wanted):
            yield [Window.of(window) for window in windows]


def _conditions(wanted: AnomalyFilter) -> list[sql.Composable]:
    found: list[sql.Composable] = [sql.SQL("true")]
    if wanted.severities is not None:
        names = [one.value for one in wanted.severities]
        found.append(sql.SQL("a.severity = ANY({}::text[])").format(sql.Literal(names)))
    for column, name, values in (("kpi", "kpis", wanted.kpis), ("cell_id", "cells", wanted.cells)):
        if values is not None:
            chosen = sql.Literal(arguments.ids(f"filter.{name}", values))
            found.append(sql.SQL("a.{} = ANY({})").format(sql.Identifier(column), chosen))
    if wanted.region is not None:
        region = sql.Literal(arguments.text("filter.region", wanted.region))
        found.append(sql.SQL("a.region_code = {}").format(region))
    for operator, name, at in ((">=", "from", wanted.from_), ("<", "to", wanted.to)):
        if at is not None:
            wanted_at = sql.Literal(arguments.instant(f"filter.{name}", at))
            found.append(sql.SQL("a.started_at {} {}").format(sql.SQL(operator), wanted_at))
    if wanted.open_only:
        found.append(sql.SQL("a.is_open"))
    if wanted.unacknowledged_only:
        found.append(sql.SQL("a.acknowledged_at IS NULL"))
    return found


async def _anomalies(context: Context, conditions: list[sql.Composable], limit: int) -> list[Anomaly]:
    rows = await context.read(
        sql.SQL(
            "SELECT a.anomaly_id::text, a.cell_id, a.region_code, a.kpi, a.description, a.severity, a.direction,"
            " a.started_at, a.ended_at, a.is_open, a.peak_at, a.peak_value, a.peak_z, a.median, a.from_at, a.to_at,"
            " a.acknowledged_at, a.acknowledged_by, a.acknowledge_note FROM gold.anomaly AS a WHERE {}"
            " ORDER BY a.anomaly_id DESC LIMIT {}"
        ).format(sql.SQL(" AND ").join(conditions), sql.Literal(limit))
    )
    return [Anomaly(**(row | {"severity": Severity(row["severity"])})) for row in rows]


async def _wanted(context: Context, chosen: AlertFilter | None) -> Any:
    """Return a test of alerts; the cells of a region are looked up once."""
    if chosen is None:
        return lambda _: True
    severities = {one.value for one in chosen.severities} if chosen.severities is not None else None
    kpis = set(arguments.ids("filter.kpis", chosen.kpis) or []) if chosen.kpis is not None else None
    cells = set(arguments.ids("filter.cells", chosen.cells) or []) if chosen.cells is not None else None
    if chosen.region is not None:
        rows = await context.read(
            sql.SQL(
                "SELECT c.cell_id FROM silver.dim_network_cell AS c INNER JOIN silver.dim_region AS r"
                " USING (region_key) WHERE r.region_code = {}"
            ).format(sql.Literal(arguments.text("filter.region", chosen.region)))
        )
        of_region = {row["cell_id"] for row in rows}
        cells = of_region if cells is None else cells & of_region

    def test(payload: dict[str, Any]) -> bool:
        return (
            (severities is None or payload["severity"] in severities)
            and (kpis is None or payload["kpi"] in kpis)
            and (cells is None or payload["cell_id"] in cells)
        )

    return test


async def _missed(context: Context, after: str) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the alerts raised since one, from the outbox, which is no hypertable."""
    try:
        alert_id = uuid.UUID(after)
    except ValueError as exc:
        raise ArgumentProblem("after", "it is no id of an alert") from exc
    rows = await context.read(
        sql.SQL("SELECT o.outbox_id FROM ops.outbox AS o WHERE o.alert_id = {}").format(sql.Literal(alert_id))
    )
    if not rows:
        raise ArgumentProblem("after", "there is no alert with this id")
    last = rows[0]["outbox_id"]
    while True:
        page = await context.read(
            sql.SQL(
                "SELECT o.outbox_id, o.payload FROM ops.outbox AS o WHERE o.outbox_id > {} AND o.topic = 'alerts'"
                " ORDER BY o.outbox_id LIMIT {}"
            ).format(sql.Literal(last), sql.Literal(_CATCH_UP))
        )
        for row in page:
            last = row["outbox_id"]
            yield row["payload"]
        if len(page) < _CATCH_UP:
            return
