"""What a series is asked for: which measures of which families, under which conditions, split by what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from telestream.graphql import arguments
from telestream.graphql.measures import RADIO, REVENUE, TRAFFIC, VOICE
from telestream.graphql.problems import ArgumentProblem
from telestream.graphql.series import Part

MOST_KPIS = 12


@dataclass(frozen=True)
class Selection:
    """The measures in the order they were asked for, where they come from, and the key; None: one series."""

    names: list[str]
    parts: list[Part]
    key: str | None


def network_performance(
    kpis: Sequence[str],
    cells: Sequence[str] | None = None,
    region: str | None = None,
    technology: str | None = None,
    by: str | None = None,
) -> Selection:
    """Return the selection of KPIs of the radio network and of voice.

    Raises:
        ArgumentProblem: an argument cannot be used.
    """
    names = list(dict.fromkeys(kpis))
    if not 1 <= len(names) <= MOST_KPIS:
        raise ArgumentProblem("kpis", f"{len(names)} KPIs", allowed=[f"1 to {MOST_KPIS} KPIs"])
    parts = []
    for family in (RADIO, VOICE):
        of_family = [name for name in names if name in family.measures]
        if of_family:
            conditions = _places(cells, region)
            if technology is not None:
                conditions.append(_equal(family.keys["TECHNOLOGY"], "technology", technology))
            of_cells = cells is not None or technology is not None
            parts.append(Part(family.over(by, of_cells=of_cells), of_family, conditions))
    return Selection(names, parts, by)


def traffic(
    measures: Sequence[str],
    cells: Sequence[str] | None = None,
    region: str | None = None,
    record_type: str | None = None,
    by: str | None = None,
) -> Selection:
    """Return the selection of traffic from CDRs; raises as `network_performance`."""
    names = list(dict.fromkeys(measures))
    if not names:
        raise ArgumentProblem("measures", "nothing to count", allowed=list(TRAFFIC.measures))
    conditions = _places(cells, region)
    if record_type is not None:
        conditions.append(_equal("v.record_type", "recordType", record_type))
    family = TRAFFIC.over(by, of_cells=cells is not None)
    return Selection(names, [Part(family, names, conditions)], by)


def revenue(region: str | None = None, plan: str | None = None, by: str | None = None) -> Selection:
    """Return the selection of revenue, a key per currency; raises as `network_performance`."""
    conditions: list[sql.Composable] = []
    if region is not None:
        conditions.append(_equal("v.region_code", "region", region))
    if plan is not None:
        conditions.append(_equal("v.plan_code", "plan", plan))
    names = list(REVENUE.measures)
    return Selection(names, [Part(REVENUE, names, conditions)], by or "TOTAL")


def _places(cells: Sequence[str] | None, region: str | None) -> list[sql.Composable]:
    found: list[sql.Composable] = []
    wanted = arguments.ids("cells", cells)
    if wanted is not None:
        found.append(sql.SQL("v.cell_id = ANY({})").format(sql.Literal(wanted)))
    if region is not None:
        found.append(_equal("v.region_code", "region", region))
    return found


def _equal(expression: str, argument: str, value: str) -> sql.Composed:
    return sql.SQL("{} = {}").format(sql.SQL(expression), sql.Literal(arguments.text(argument, value)))
