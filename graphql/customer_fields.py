"""Queries about customers: surrogates, their usage, single CDRs, revenue; all but revenue are in the access log."""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import strawberry
from psycopg import sql
from strawberry import argument

from telestream.graphql import arguments, selections
from telestream.graphql.access import Requires, marked
from telestream.graphql.context import ApiInfo
from telestream.graphql.network_fields import (
    After,
    Cell,
    First,
    From,
    Grain,
    LookupReason,
    Plan,
    SeriesSet,
    To,
    Zone,
    series_set,
)
from telestream.graphql.principal import Scope
from telestream.graphql.scalars import Long, PageInfo, choice

_LONGEST_USAGE = timedelta(days=800)
_LONGEST_CDRS = timedelta(days=7)
_LONGEST_TOP = timedelta(days=93)


@strawberry.enum(description="Length of a period of usage; periods follow the operator's calendar.")
class UsageGrain(enum.Enum):
    """A period of usage."""

    DAY = choice("day", "A day of the operator.")
    WEEK = choice("week", "An ISO week, from Monday on.")
    MONTH = choice("month", "A calendar month.")


@strawberry.enum(description="What customers are ranked by.")
class Ranking(enum.Enum):
    """A ranking of customers."""

    BYTES = choice("bytes", "Bytes in both directions.")
    SECONDS = choice("seconds", "Billed seconds.")
    RECORDS = choice("events", "Number of CDRs.")
    CHARGE = choice("charge_micro", "Charge; ranked within each currency.")


@strawberry.type(
    description="Usage as columns: entry i of each list belongs to the same period, type, plan and currency."
)
class Usage:
    """Usage of a customer."""

    period: list[date] = strawberry.field(description="First day of the period; periods without usage are left out.")
    record_type: list[str] = strawberry.field(description="voice, sms, mms, data or other.")
    plan_code: list[str] = strawberry.field(description="Service plan.")
    currency: list[str | None] = strawberry.field(description="ISO 4217 code of `charge`.")
    records: list[Long] = strawberry.field(description="CDRs.")
    seconds: list[Long] = strawberry.field(description="Billed seconds, or session seconds where nothing is billed.")
    bytes_up: list[Long] = strawberry.field(description="Bytes from the customer.")
    bytes_down: list[Long] = strawberry.field(description="Bytes to the customer.")
    charge: list[Decimal] = strawberry.field(description="Charge in `currency`.")


@strawberry.type(
    description="What the CRM says of a customer, from one moment to another; nothing that names a person."
)
class CustomerProfile:
    """A version of a customer."""

    plan_code: str = strawberry.field(description="Service plan.")
    region_code: str = strawberry.field(description="Home region.")
    segment: str | None = strawberry.field(description="Segment, as the CRM writes it.")
    status: str = strawberry.field(description="Status, as the CRM writes it.")
    birth_decade: int | None = strawberry.field(description="First year of the decade of birth.")
    valid_from: datetime = strawberry.field(description="When it began.")
    valid_to: datetime | None = strawberry.field(description="When it ended, exclusive; null if it holds still.")


@strawberry.type(description="Segment of a customer at the end of a week, worked out from twelve weeks of use.")
class CustomerSegment:
    """A segment."""

    week: date = strawberry.field(description="Monday of the newest whole week.")
    segment: str = strawberry.field(
        description="champion, loyal, occasional, new, at_risk, hibernating or lost; what they mean is in analytics.md."
    )
    recency_days: int = strawberry.field(description="Days from the last one with a record to the end of the week.")
    active_days: int = strawberry.field(description="Days with a record.")
    charge: Decimal = strawberry.field(description="Charge in `currency`.")
    currency: str | None = strawberry.field(description="ISO 4217 code of `charge`.")
    recency_score: int = strawberry.field(description="1 to 5 among all customers; 5: was there last.")
    frequency_score: int = strawberry.field(description="1 to 5 among all customers; 5: most active days.")
    monetary_score: int = strawberry.field(description="1 to 5 among those with the same currency; 5: pays most.")


@strawberry.type(description="What one feature adds to a risk of churn.")
class ChurnFactor:
    """A line of an explanation."""

    feature: str = strawberry.field(description="Feature of the model.")
    contribution: float = strawberry.field(description="Log-odds over the mean customer; above 0 it raises the risk.")


@strawberry.type(
    description="Risk that a customer leaves, by a model that can be read. "
    "For campaigns, not for decisions about a person."
)
class ChurnRisk:
    """A risk of churn."""

    week: date = strawberry.field(description="Monday of the newest whole week.")
    risk: float = strawberry.field(description="Probability of no record in the weeks of the horizon, 0 to 1.")
    horizon_weeks: int = strawberry.field(description="How many weeks that are.")
    model: int = strawberry.field(description="Version of the model.")
    factors: list[ChurnFactor] = strawberry.field(description="What it comes from, the strongest first.")


@strawberry.type(description="A customer: a subscriber, known by the surrogate that facts carry.")
class Customer:
    """A customer."""

    id: strawberry.ID = strawberry.field(description="Surrogate; says nothing about the person.")

    @strawberry.field(
        description="Usage from days of Gold, by one statement for all customers of a request. "
        f"Scope: {Scope.CUSTOMER}.",
        extensions=[Requires(Scope.CUSTOMER)],
        metadata={"cost": 10},
    )
    async def usage(
        self,
        info: ApiInfo,
        from_: From,
        to: To,
        grain: Annotated[UsageGrain, argument(description="Length of a period.")] = UsageGrain.DAY,
    ) -> Usage:
        start, end = arguments.time_range(from_, to, _LONGEST_USAGE)
        rows = await info.context.lookups.usage.load((int(self.id), start, end, grain.value))
        names = ("period", "record_type", "plan_code", "currency", "seconds", "bytes_up", "bytes_down", "charge")
        columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in names}
        return Usage(records=[row["events"] for row in rows], **columns)

    @strawberry.field(
        description="The customer who had this number then; null if the CRM knows of none. By one statement for all "
        f"customers of a request. Scope: {Scope.CUSTOMER}.",
        extensions=[Requires(Scope.CUSTOMER)],
        metadata={"cost": 5},
    )
    async def profile(
        self,
        info: ApiInfo,
        as_of: Annotated[datetime | None, argument(description="When, with offset; now if left out.")] = None,
    ) -> CustomerProfile | None:
        moment = datetime.now(UTC) if as_of is None else arguments.moment("asOf", as_of)
        row = await info.context.lookups.profile.load((int(self.id), moment))
        return CustomerProfile(**row) if row else None

    @strawberry.field(
        description="Segment in the newest whole week; null without a record in the twelve weeks up to it. By one "
        f"statement for all customers of a request. Scope: {Scope.CUSTOMER}.",
        extensions=[Requires(Scope.CUSTOMER)],
        metadata={"cost": 5},
    )
    async def segment(self, info: ApiInfo) -> CustomerSegment | None:
        row = await info.context.lookups.segment.load(int(self.id))
        return CustomerSegment(**row) if row else None

    @strawberry.field(
        description="Risk of churn in the newest whole week; null for one who was not there in its last two, and where "
        f"there is no model yet. By one statement for all customers of a request. Scope: {Scope.CUSTOMER}.",
        extensions=[Requires(Scope.CUSTOMER)],
        metadata={"cost": 5},
    )
    async def churn_risk(self, info: ApiInfo) -> ChurnRisk | None:
        row = await info.context.lookups.churn_risk.load(int(self.id))
        if row is None:
            return None
        factors = [
            ChurnFactor(feature=f, contribution=c) for f, c in zip(row["features"], row["contributions"], strict=True)
        ]
        return ChurnRisk(
            week=row["week"],
            risk=row["risk"],
            horizon_weeks=row["horizon_weeks"],
            model=row["version"],
            factors=sorted(factors, key=lambda factor: -abs(factor.contribution)),
        )

    @strawberry.field(
        description="The customers who use the network most like this one, the most alike first; none without use in "
        f"the newest six weeks. Not for analysts. Scope: {Scope.CUSTOMER}.",
        extensions=[Requires(Scope.CUSTOMER)],
        metadata={"cost": 100, "size": "first", "default": arguments.SIMILAR_DEFAULT},
    )
    async def similar(
        self,
        info: ApiInfo,
        first: Annotated[int, argument(description="How many, 1 to 100.")] = arguments.SIMILAR_DEFAULT,
    ) -> list[SimilarCustomer]:
        rows = await info.context.lookups.similar_customers.load((int(self.id), arguments.similar_size(first)))
        return [
            SimilarCustomer(customer=Customer(id=strawberry.ID(str(row["subscriber_id"]))), distance=row["distance"])
            for row in rows
        ]


@strawberry.type(description="A customer who uses the network like another.")
class SimilarCustomer:
    """A similar customer."""

    customer: Customer = strawberry.field(description="The customer.")
    distance: float = strawberry.field(description="Distance of the two behaviours, 0 for the same.")


@strawberry.type(description="A customer asked for by id.")
class CustomerLookup:
    """A customer, or why there is none."""

    customer: Customer | None = strawberry.field(description="The customer; null if nothing is known of this id.")
    reason: LookupReason | None = strawberry.field(description="Why it is null; null if it is not.")


@strawberry.type(description="A customer in a ranking.")
class RankedCustomer:
    """A place in a ranking."""

    customer: Customer = strawberry.field(description="The customer.")
    value: float = strawberry.field(description="What it is ranked by.")
    currency: str | None = strawberry.field(description="Currency of a charge; null for other rankings.")


@strawberry.type(description="A single CDR, with people as surrogates.")
class Cdr:
    """A CDR."""

    cdr_id: strawberry.ID = strawberry.field(description="Id of the CDR.")
    started_at: datetime = strawberry.field(description="Seizure, attach or send time.")
    answered_at: datetime | None = strawberry.field(description="Answer time.")
    ended_at: datetime | None = strawberry.field(description="Release time.")
    source_system: str = strawberry.field(description="Switch or feed that wrote it.")
    record_type: str = strawberry.field(description="voice, sms, mms, data or other.")
    direction: str | None = strawberry.field(description="mo, mt, forwarded, internal or transit.")
    subscriber_id: strawberry.ID = strawberry.field(description="Surrogate of the served party; 0 is unknown.")
    caller_id: strawberry.ID = strawberry.field(description="Surrogate of the caller; 0 is unknown.")
    called_id: strawberry.ID = strawberry.field(description="Surrogate of the called party; 0 is unknown.")
    duration_s: int | None = strawberry.field(description="Seconds from start to end.")
    billed_s: int | None = strawberry.field(description="Seconds from answer to end.")
    bytes_up: Long | None = strawberry.field(description="Bytes from the subscriber.")
    bytes_down: Long | None = strawberry.field(description="Bytes to the subscriber.")
    cell_id: strawberry.ID = strawberry.field(description="Cell at start.")
    region_code: str = strawberry.field(description="Region of the cell when the CDR was loaded.")
    technology: str | None = strawberry.field(description="2g, 3g, 4g, 5g, fixed or ip.")
    plan_code: str = strawberry.field(description="Service plan.")
    charge: Decimal | None = strawberry.field(description="Charge in `currency`.")
    currency: str | None = strawberry.field(description="ISO 4217 code.")
    disposition: str | None = strawberry.field(description="answered, no_answer, busy, failed, congestion or dropped.")
    is_roaming: bool | None = strawberry.field(description="A visitor, or a subscriber abroad.")
    apn: str | None = strawberry.field(description="Access point name of a data session.")

    @strawberry.field(description="The cell, by one statement for all CDRs of a request.", metadata={"cost": 2})
    async def cell(self, info: ApiInfo) -> Cell | None:
        row = await info.context.lookups.cell.load(self.cell_id)
        return Cell(**row) if row else None

    @strawberry.field(description="The plan, by one statement for all CDRs of a request.", metadata={"cost": 2})
    async def plan(self, info: ApiInfo) -> Plan | None:
        row = await info.context.lookups.plan.load(self.plan_code)
        return Plan(**row) if row else None

    @strawberry.field(description="The served party; null if it is unknown.")
    def customer(self) -> Customer | None:
        return Customer(id=self.subscriber_id) if self.subscriber_id != "0" else None


@strawberry.type(description="A page of CDRs.")
class CdrConnection:
    """A page of CDRs."""

    nodes: list[Cdr] = strawberry.field(description="The newest first.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")


@strawberry.input(description="Which CDRs; the range is required and has 7 days at most.")
class CdrFilter:
    """Conditions on CDRs."""

    from_: datetime = strawberry.field(name="from", description="Earliest start, with offset.")
    to: datetime = strawberry.field(description="Latest start, exclusive, with offset.")
    customer_id: strawberry.ID | None = strawberry.field(default=None, description="Only of this served party.")
    cell_id: strawberry.ID | None = strawberry.field(default=None, description="Only of this cell.")
    region: str | None = strawberry.field(default=None, description="Only of this region.")
    record_type: str | None = strawberry.field(default=None, description="Only of this type.")
    disposition: str | None = strawberry.field(default=None, description="Only with this outcome.")


@strawberry.enum(description="What a revenue series is split by; each key names its currency.")
class RevenueKey(enum.Enum):
    """A key of revenue."""

    TOTAL = choice("TOTAL", "One series per currency.")
    REGION = choice("REGION", "One series per region and currency.")
    PLAN = choice("PLAN", "One series per plan and currency.")
    RECORD_TYPE = choice("RECORD_TYPE", "One series per record type and currency.")


@strawberry.type
class CustomerQuery:
    """The part of Query about customers."""

    @strawberry.field(**marked(Scope.CUSTOMER, "One customer. Is written to the access log.", tags=("traffic",)))
    async def customer(
        self, info: ApiInfo, id: Annotated[strawberry.ID, argument(description="Surrogate, as in CDRs.")]
    ) -> CustomerLookup | None:
        number = arguments.number("id", id)
        rows = await info.context.read(
            sql.SQL(
                "SELECT EXISTS (SELECT FROM gold.fact_customer_usage_daily AS u WHERE u.subscriber_id = {id})"
                " OR EXISTS (SELECT FROM gold.customer_history AS h WHERE h.subscriber_id = {id}) AS found"
            ).format(id=sql.Literal(number))
        )
        info.context.note("customer", [number], 1)
        if number == 0 or not rows[0]["found"]:
            return CustomerLookup(customer=None, reason=LookupReason.UNKNOWN_ID)
        return CustomerLookup(customer=Customer(id=strawberry.ID(str(number))), reason=None)

    @strawberry.field(
        **marked(
            Scope.CUSTOMER,
            "The customers that use most, over whole days. Is written to the access log.",
            cost=50,
            tags=("traffic",),
            size="first",
            default=10,
        )
    )
    async def top_customers(
        self,
        info: ApiInfo,
        by: Annotated[Ranking, argument(description="What they are ranked by.")],
        from_: From,
        to: To,
        first: First = 10,
    ) -> list[RankedCustomer] | None:
        start, end = arguments.time_range(from_, to, _LONGEST_TOP)
        unit = sql.SQL("0.000001" if by is Ranking.CHARGE else "1")
        rows = await info.context.read(
            sql.SQL(
                "SELECT t.subscriber_id, t.currency, (t.value * {unit})::double precision AS value"
                " FROM gold.top_customers({by}, {start}, {end}, {first}) AS t"
            ).format(
                unit=unit,
                by=sql.Literal(by.value),
                start=sql.Literal(start),
                end=sql.Literal(end),
                first=sql.Literal(arguments.page_size(first)),
            )
        )
        info.context.note("topCustomers", [row["subscriber_id"] for row in rows], len(rows))
        return [
            RankedCustomer(
                customer=Customer(id=strawberry.ID(str(row["subscriber_id"]))),
                value=row["value"],
                currency=row["currency"],
            )
            for row in rows
        ]

    @strawberry.field(
        **marked(
            Scope.CUSTOMER,
            "Single CDRs, page by page. Is written to the access log.",
            cost=20,
            size="first",
            default=arguments.PAGE_DEFAULT,
        )
    )
    async def cdrs(
        self,
        info: ApiInfo,
        filter: Annotated[CdrFilter, argument(description="Which CDRs.")],
        first: First = arguments.PAGE_DEFAULT,
        after: After = None,
    ) -> CdrConnection | None:
        size = arguments.page_size(first)
        start, end = arguments.time_range(filter.from_, filter.to, _LONGEST_CDRS)
        conditions: list[sql.Composable] = [
            sql.SQL("f.started_at >= {}").format(sql.Literal(start)),
            sql.SQL("f.started_at < {}").format(sql.Literal(end)),
        ]
        if filter.customer_id is not None:
            number = arguments.number("filter.customerId", filter.customer_id)
            conditions.append(sql.SQL("f.subscriber_id = {}").format(sql.Literal(number)))
        for column, argument_name, value in (
            ("cell_id", "cellId", filter.cell_id),
            ("region_code", "region", filter.region),
            ("record_type", "recordType", filter.record_type),
            ("disposition", "disposition", filter.disposition),
        ):
            if value is not None:
                wanted = arguments.text(f"filter.{argument_name}", value)
                conditions.append(sql.SQL("f.{} = {}").format(sql.Identifier(column), sql.Literal(wanted)))
        if after is not None:
            at, cdr_id = _cursor(after)
            # The bound on the time alone is what excludes chunks.
            conditions.append(sql.SQL("f.started_at <= {}").format(sql.Literal(at)))
            conditions.append(
                sql.SQL("(f.started_at, f.cdr_id) < ({}, {})").format(sql.Literal(at), sql.Literal(cdr_id))
            )
        rows = await info.context.read(
            sql.SQL("SELECT f.* FROM gold.cdr AS f WHERE {} ORDER BY f.started_at DESC, f.cdr_id DESC LIMIT {}").format(
                sql.SQL(" AND ").join(conditions), sql.Literal(size + 1)
            )
        )
        nodes = [_cdr(row) for row in rows[:size]]
        info.context.note("cdrs", [node.cdr_id for node in nodes], len(nodes))
        end_cursor = arguments.encode_cursor(nodes[-1].started_at.isoformat(), nodes[-1].cdr_id) if nodes else None
        return CdrConnection(nodes=nodes, page_info=PageInfo(has_next_page=len(rows) > size, end_cursor=end_cursor))

    @strawberry.field(
        **marked(
            Scope.REVENUE,
            "Revenue and records per day of the operator as columns, each key with its currency.",
            cost=20,
            tags=("traffic",),
        )
    )
    async def revenue(
        self,
        info: ApiInfo,
        from_: From,
        to: To,
        region: Annotated[str | None, argument(description="Only this region.")] = None,
        plan: Annotated[str | None, argument(description="Only this plan.")] = None,
        by: Annotated[RevenueKey, argument(description="Split by this.")] = RevenueKey.TOTAL,
        time_zone: Zone = None,
    ) -> SeriesSet | None:
        selection = selections.revenue(region, plan, by.value)
        return await series_set(info.context, selection, from_, to, Grain.DAY, time_zone)


def _cdr(row: dict[str, Any]) -> Cdr:
    ids = {name: str(row[name]) for name in ("cdr_id", "subscriber_id", "caller_id", "called_id")}
    values = row | ids
    del values["customer_key"]  # the customer's profile as of the start says more
    return Cdr(**values)


def _cursor(after: str) -> tuple[datetime, uuid.UUID]:
    at, cdr_id = arguments.decode_cursor(after, str, str)
    try:
        return arguments.instant("after", datetime.fromisoformat(at)), uuid.UUID(cdr_id)
    except ValueError as exc:
        raise arguments.foreign_cursor() from exc
