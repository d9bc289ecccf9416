"""What the dashboards are made of: queries, panels, variables, annotations and links that look alike everywhere."""

from __future__ import annotations

from typing import Any, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog import builder as cogbuilder
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import common as models
from grafana_foundation_sdk.models import dashboard as types

DATABASE = models.DataSourceRef(type_val="grafana-postgresql-datasource", uid="telestream")
PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="prometheus")
TAG = "telestream"
OPERATIONS = "${operations:raw}"
# What the name of a chosen value cannot be, so that "All" is a comparison of constants, which the planner drops.
ALL = "'*'"
_HEIGHT = 8
_GOOD, _WARN, _BAD = "green", "orange", "red"

Query = cogbuilder.Builder[variants.Dataquery]
Built = cogbuilder.Builder[types.Panel]


class SqlQuery(variants.Dataquery, cogbuilder.Builder[variants.Dataquery]):
    """A query of the database; the SDK has none for PostgreSQL."""

    def __init__(self, sql: str, shape: str, ref: str = "A") -> None:
        self._sql = " ".join(sql.split())
        self._shape = shape
        self._ref = ref

    def build(self) -> Self:
        """Return itself: it has nothing left to build."""
        return self

    def to_json(self) -> dict[str, object]:
        """Return it as Grafana keeps it."""
        return {
            "datasource": DATABASE,
            "editorMode": "code",
            "format": self._shape,
            "rawQuery": True,
            "rawSql": self._sql,
            "refId": self._ref,
        }


def rows(sql: str) -> SqlQuery:
    """Ask for rows as they are."""
    return SqlQuery(sql, "table")


def over_time(sql: str) -> SqlQuery:
    """Ask for the columns "time" and values; a text column called metric names the series."""
    return SqlQuery(sql, "time_series")


def promql(expr: str, legend: str = "", *, instant: bool = False) -> Query:
    """Ask Prometheus."""
    query = prometheus.Dataquery().expr(expr).legend_format(legend).datasource(PROMETHEUS)
    return query.instant() if instant else query.range()


def chosen(variable: str, column: str) -> str:
    """Return the condition that a column has one of the values chosen, or that all are."""
    return f"({ALL} IN (${variable}) OR {column} IN (${variable}))"


class _Panel(Protocol):
    """What the builders of the SDK have in common; it declares no base of them."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: models.DataSourceRef) -> Self: ...
    def targets(self, targets: list[Query]) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def build(self) -> types.Panel: ...


P = TypeVar("P", bound=_Panel)


def _panel(panel: P, title: str, description: str, unit: str, queries: tuple[Query, ...], width: int, height: int) -> P:
    source = DATABASE if isinstance(queries[0], SqlQuery) else PROMETHEUS
    named = [_named(query, chr(ord("A") + number)) for number, query in enumerate(queries)]
    return (
        panel.title(title).description(description).datasource(source).targets(named).unit(unit)
        .span(width).height(height)
    )  # fmt: skip


def _named(query: Query, ref: str) -> Query:
    if isinstance(query, prometheus.Dataquery):
        return query.ref_id(ref)
    return query


def limits(warn: float, bad: float) -> dashboard.ThresholdsConfig:
    """Return thresholds: orange from the first value on and red from the second, or below them where that is lower."""
    steps = [types.Threshold(None, _GOOD), types.Threshold(warn, _WARN), types.Threshold(bad, _BAD)]
    if bad < warn:
        steps = [types.Threshold(None, _BAD), types.Threshold(bad, _WARN), types.Threshold(warn, _GOOD)]
    return dashboard.ThresholdsConfig().mode(types.ThresholdsMode.ABSOLUTE).steps(steps)


def number(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    thresholds: dashboard.ThresholdsConfig | None = None,
    width: int = 4,
    decimals: int | None = None,
) -> stat.Panel:
    """Show the last value of each query, large."""
    panel = _panel(stat.Panel(), title, description, unit, queries, width, 4)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel = panel.graph_mode(models.BigValueGraphMode.NONE).no_value("none")
    if decimals is not None:
        panel = panel.decimals(decimals)
    return panel.thresholds(thresholds or _plain())


def _plain() -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().mode(types.ThresholdsMode.ABSOLUTE).steps([types.Threshold(None, "blue")])


def series(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    thresholds: dashboard.ThresholdsConfig | None = None,
    width: int = 12,
    stacked: bool = False,
    bars: bool = False,
    least: float | None = 0,
) -> timeseries.Panel:
    """Show values over time; `least` is the lower end of the axis unless a value is lower, None: where values begin."""
    panel = _panel(timeseries.Panel(), title, description, unit, queries, width, _HEIGHT)
    panel = panel.show_points(models.VisibilityMode.AUTO).fill_opacity(60 if stacked or bars else 8)
    panel = panel.tooltip(common.VizTooltipOptions().mode(models.TooltipDisplayMode.MULTI))
    panel = panel.legend(
        common.VizLegendOptions().display_mode(models.LegendDisplayMode.LIST)
        .placement(models.LegendPlacement.BOTTOM).show_legend(True)
    )  # fmt: skip
    if least is not None:
        panel = panel.axis_soft_min(least)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(models.StackingMode.NORMAL))
    if bars:
        panel = panel.draw_style(models.GraphDrawStyle.BARS)
    if thresholds:
        style = common.GraphThresholdsStyleConfig().mode(models.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(thresholds).thresholds_style(style)
    return panel


def ranking(
    title: str,
    description: str,
    unit: str,
    query: SqlQuery,
    *,
    thresholds: dashboard.ThresholdsConfig | None = None,
    width: int = 8,
) -> bargauge.Panel:
    """Show a bar per row: a text column names it, a number is its length."""
    panel = _panel(bargauge.Panel(), title, description, unit, (query,), width, _HEIGHT)
    panel = panel.orientation(models.VizOrientation.HORIZONTAL).display_mode(models.BarGaugeDisplayMode.BASIC)
    panel = panel.reduce_options(common.ReduceDataOptions().values(True).calcs([]))
    return panel.min(0).no_value("none").thresholds(thresholds or _plain())


def listing(
    title: str,
    description: str,
    query: SqlQuery,
    *,
    units: dict[str, str] | None = None,
    hidden: tuple[str, ...] = (),
    links: dict[str, list[tuple[str, str]]] | None = None,
    width: int = 12,
) -> table.Panel:
    """Show a table; units by column, columns that only links need, and links (title, address) by column."""
    panel = _panel(table.Panel(), title, description, "none", (query,), width, _HEIGHT + 1)
    for column, unit in (units or {}).items():
        panel = panel.override_by_name(column, [types.DynamicConfigValue("unit", unit)])
    for column in hidden:
        panel = panel.override_by_name(column, [types.DynamicConfigValue("custom.hideFrom.viz", True)])
    for column, addresses in (links or {}).items():
        value: Any = [{"title": text, "url": url, "targetBlank": "://" in url} for text, url in addresses]
        panel = panel.override_by_name(column, [types.DynamicConfigValue("links", value)])
    return panel.no_value("none").thresholds(_plain())


def choice(
    name: str, label: str, sql: str, description: str, *, follows_range: bool = False
) -> dashboard.QueryVariable:
    """Return a variable of which several values or all may be chosen; "All" is one value that `chosen` knows."""
    return (
        _variable(name, label, sql, description, follows_range)
        .multi(True).include_all(True).all_value(ALL)
        .current(types.VariableOption(text=["All"], value=["$__all"], selected=True))
    )  # fmt: skip


def grain(
    name: str, up_to: dict[str, str], beyond: str, *, of_cells: str | None = None, shown: bool = True
) -> dashboard.QueryVariable:
    """Return the variable that picks the rollup by the range: up to which range each grain, and the one beyond.

    A name of Gold that ends in it reads that rollup alone. Where cells are chosen, the first one is good for longer
    (`of_cells`): they have few rows.
    """
    span = "$__timeTo()::timestamptz - $__timeFrom()::timestamptz"
    cases = [f"WHEN {span} <= interval '{longest}' THEN '{one}'" for one, longest in up_to.items()]
    text = "Width of a point, by the range: " + ", ".join(f"{one} up to {to}" for one, to in up_to.items())
    if of_cells:
        first = next(iter(up_to))
        cases.insert(0, f"WHEN NOT ({ALL} IN ($cell)) AND {span} <= interval '{of_cells}' THEN '{first}'")
        text += f" ({of_cells} where cells are chosen)"
    sql = f"SELECT CASE {' '.join(cases)} ELSE '{beyond}' END"
    made = _variable(name, "Grain", sql, f"{text}, else {beyond}", follows_range=True)
    return made if shown else made.hide(types.VariableHide.HIDE_VARIABLE)


def _variable(name: str, label: str, sql: str, description: str, follows_range: bool) -> dashboard.QueryVariable:
    when = types.VariableRefresh.ON_TIME_RANGE_CHANGED if follows_range else types.VariableRefresh.ON_DASHBOARD_LOAD
    text = " ".join(sql.split())
    return (
        dashboard.QueryVariable(name).label(label).description(description)
        .datasource(DATABASE).query(text).definition(text).refresh(when)
    )  # fmt: skip


def annotation(name: str, color: str, sql: str) -> dashboard.AnnotationQuery:
    """Return marks on all panels over time: the columns time, timeend (or none), text and tags."""
    return (
        dashboard.AnnotationQuery().name(name).datasource(DATABASE).enable(True).icon_color(color)
        .target(SqlQuery(sql, "table", "Marks"))
    )  # fmt: skip


def section(made: dashboard.Dashboard, title: str, *panels: Built) -> dashboard.Dashboard:
    """Add a row with panels below it."""
    made = made.with_row(dashboard.Row(title))
    for panel in panels:
        made = made.with_panel(panel)
    return made


def board(
    title: str, uid: str, description: str, since: str, refresh: str, *variables: dashboard.QueryVariable
) -> dashboard.Dashboard:
    """Begin a dashboard with its variables and the links that all have."""
    made = (
        dashboard.Dashboard(title).uid(uid).description(description).tags([TAG]).readonly()
        .time(since, "now").refresh(refresh).timezone("browser").tooltip(types.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("TeleStream").type(types.DashboardLinkType.DASHBOARDS).tags([TAG])
            .keep_time(True).include_vars(True).as_dropdown(True)
        )
        .link(
            dashboard.DashboardLink("Operations page").type(types.DashboardLinkType.LINK).icon("external link")
            .url(OPERATIONS + "/").target_blank(True).tooltip("Live alerts, where they are acknowledged")
        )
    )  # fmt: skip
    for variable in variables:
        made = made.with_variable(variable)
    return made.with_variable(
        dashboard.TextBoxVariable("operations").label("Operations page").hide(types.VariableHide.IN_CONTROLS_MENU)
        .description("Where the API serves its page").default_value("http://127.0.0.1:8080")
    )  # fmt: skip
