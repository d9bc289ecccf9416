"""Queries about suspected fraud: cases and what each stands on; every read is in the access log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import strawberry
from psycopg import sql
from strawberry import argument

from telestream.graphql import arguments
from telestream.graphql.access import marked
from telestream.graphql.alert_fields import Severity
from telestream.graphql.context import ApiInfo
from telestream.graphql.customer_fields import Customer
from telestream.graphql.network_fields import After, First
from telestream.graphql.principal import Scope
from telestream.graphql.scalars import PageInfo


@strawberry.type(description="A line of what a case stands on: one measure of its worst window of 24 hours.")
class FraudEvidence:
    """A measure of a case."""

    measure: str = strawberry.field(description="What was measured.")
    seen: float = strawberry.field(description="What was seen.")
    threshold: float | None = strawberry.field(description="What it was held against; null: it only informs.")
    peer: float | None = strawberry.field(description="What is usual for others, or for itself; null: not known.")
    explanation: str = strawberry.field(description="The same in words; names nobody.")
    from_at: datetime = strawberry.field(description="Start of the window.")
    to_at: datetime = strawberry.field(description="End of the window, exclusive.")


@strawberry.type(description="Suspected fraud of one number by one rule: a suspicion, not a finding.")
class FraudCase:
    """A case of suspected fraud."""

    case_id: strawberry.ID = strawberry.field(description="Key; stays the same while the case grows.")
    rule: str = strawberry.field(description="Rule that found it, as in the table analytics.fraud_rule.")
    description: str = strawberry.field(description="What the rule looks for.")
    subscriber_id: strawberry.ID = strawberry.field(
        description="Surrogate of the number; may be one of another network."
    )
    severity: Severity = strawberry.field(description="How bad it is.")
    score: float = strawberry.field(description="50 is at the threshold, 100 twice beyond it or more.")
    started_at: datetime = strawberry.field(description="First record of it.")
    last_seen_at: datetime = strawberry.field(description="Last record of it.")
    closed_at: datetime | None = strawberry.field(
        description="When it had been quiet for long enough; null while open."
    )
    is_open: bool = strawberry.field(description="True until it closes.")
    opened_at: datetime = strawberry.field(description="When a run first found it.")
    updated_at: datetime = strawberry.field(description="When a run last changed it.")

    @strawberry.field(
        description="What it stands on, the most telling first; by one statement for all cases of a request.",
        metadata={"cost": 5},
    )
    async def evidence(self, info: ApiInfo) -> list[FraudEvidence]:
        rows = await info.context.lookups.evidence.load(int(self.case_id))
        return [FraudEvidence(**row) for row in rows]

    @strawberry.field(description="The number as a customer; its fields want the scope customer.")
    def customer(self) -> Customer:
        return Customer(id=self.subscriber_id)


@strawberry.type(description="A page of cases.")
class FraudCaseConnection:
    """A page of cases."""

    nodes: list[FraudCase] = strawberry.field(description="The last opened first.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")


@strawberry.input(description="Which cases; all conditions must hold.")
class FraudCaseFilter:
    """Conditions on cases."""

    rules: list[str] | None = strawberry.field(default=None, description="Only of these rules.")
    severities: list[Severity] | None = strawberry.field(default=None, description="Only of these severities.")
    customer_id: strawberry.ID | None = strawberry.field(default=None, description="Only of this number.")
    min_score: float | None = strawberry.field(default=None, description="Only with this score or more.")
    from_: datetime | None = strawberry.field(default=None, name="from", description="Last seen at or after this.")
    to: datetime | None = strawberry.field(default=None, description="Started before this.")
    open_only: bool = strawberry.field(default=False, description="Only what has not closed.")


@strawberry.type
class FraudQuery:
    """The part of Query about fraud."""

    @strawberry.field(
        **marked(
            Scope.FRAUD,
            "Cases of suspected fraud, page by page. Is written to the access log.",
            cost=20,
            size="first",
            default=arguments.PAGE_DEFAULT,
        )
    )
    async def fraud_cases(
        self,
        info: ApiInfo,
        filter: Annotated[FraudCaseFilter | None, argument(description="Which cases.")] = None,
        first: First = arguments.PAGE_DEFAULT,
        after: After = None,
    ) -> FraudCaseConnection | None:
        size = arguments.page_size(first)
        conditions = _conditions(filter or FraudCaseFilter())
        if after is not None:
            (key,) = arguments.decode_cursor(after, int)
            conditions.append(sql.SQL("c.case_id < {}").format(sql.Literal(key)))
        rows = await info.context.read(
            sql.SQL(
                "SELECT c.case_id::text, c.rule, c.description, c.subscriber_id::text, c.severity, c.score,"
                " c.started_at, c.last_seen_at, c.closed_at, c.is_open, c.opened_at, c.updated_at"
                " FROM gold.fraud_case AS c WHERE {} ORDER BY c.case_id DESC LIMIT {}"
            ).format(sql.SQL(" AND ").join(conditions), sql.Literal(size + 1))
        )
        nodes = [_case(row) for row in rows[:size]]
        # Who was looked at, and not under which number of a case.
        info.context.note("fraudCases", [node.subscriber_id for node in nodes], len(nodes))
        end = arguments.encode_cursor(int(nodes[-1].case_id)) if nodes else None
        return FraudCaseConnection(nodes=nodes, page_info=PageInfo(has_next_page=len(rows) > size, end_cursor=end))


def _case(row: dict[str, Any]) -> FraudCase:
    return FraudCase(**row | {"severity": Severity(row["severity"])})


def _conditions(wanted: FraudCaseFilter) -> list[sql.Composable]:
    found: list[sql.Composable] = [sql.SQL("true")]
    if wanted.rules is not None:
        rules = sql.Literal(arguments.ids("filter.rules", wanted.rules))
        found.append(sql.SQL("c.rule = ANY({})").format(rules))
    if wanted.severities is not None:
        names = [one.value for one in wanted.severities]
        found.append(sql.SQL("c.severity = ANY({}::text[])").format(sql.Literal(names)))
    if wanted.customer_id is not None:
        number = arguments.number("filter.customerId", wanted.customer_id)
        found.append(sql.SQL("c.subscriber_id = {}").format(sql.Literal(number)))
    if wanted.min_score is not None:
        found.append(sql.SQL("c.score >= {}").format(sql.Literal(wanted.min_score)))
    if wanted.from_ is not None:
        at = arguments.instant("filter.from", wanted.from_)
        found.append(sql.SQL("c.last_seen_at >= {}").format(sql.Literal(at)))
    if wanted.to is not None:
        at = arguments.instant("filter.to", wanted.to)
        found.append(sql.SQL("c.started_at < {}").format(sql.Literal(at)))
    if wanted.open_only:
        found.append(sql.SQL("c.is_open"))
    return found
