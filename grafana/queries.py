"""What the dashboards in `dashboards/` ask: the queries of panels, variables and annotations, read from the files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from telestream.grafana.macros import Range, Value, expand, seconds

FOLDER = Path(__file__).resolve().parent / "dashboards"


@dataclass(frozen=True)
class Query:
    """A query as it stands in a dashboard, and whose it is: "panel: title", "variable: name" or "annotation: name"."""

    owner: str
    text: str


@dataclass(frozen=True)
class Board:
    """A dashboard as Grafana reads it."""

    name: str
    model: dict[str, Any]

    @property
    def panels(self) -> list[dict[str, Any]]:
        """The panels that show something: all but the headings of rows."""
        return [panel for panel in self.model["panels"] if panel["type"] != "row"]

    @property
    def variables(self) -> list[dict[str, Any]]:
        """The variables that are asked of the database, each after those it follows."""
        return [one for one in self.model["templating"]["list"] if one["type"] == "query"]

    def range_to(self, end: datetime) -> Range:
        """Return the range that it shows at first, as if it were now `end`."""
        return Range(end - timedelta(seconds=seconds(self.model["time"]["from"].removeprefix("now-"))), end)

    def sql(self) -> list[Query]:
        """Return the queries of the database of panels and annotations, in their order."""
        asked = [(f"panel: {panel['title']}", target) for panel in self.panels for target in panel["targets"]] + [
            (f"annotation: {one['name']}", one["target"]) for one in self.model["annotations"].get("list", [])
        ]
        return [Query(owner, target["rawSql"]) for owner, target in asked if "rawSql" in target]

    def promql(self) -> list[Query]:
        """Return the queries of Prometheus."""
        return [
            Query(f"panel: {panel['title']}", target["expr"])
            for panel in self.panels
            for target in panel["targets"]
            if "expr" in target
        ]

    def values(
        self,
        shown: Range,
        ask: Callable[[str], Sequence[tuple[Any, ...]]],
        chosen: Mapping[str, Value] = MappingProxyType({}),
    ) -> dict[str, Value]:
        """Return the values of the variables.

        Args:
            shown: the range.
            ask: runs a query and returns its rows.
            chosen: what somebody has chosen; else it is as Grafana has it at first: all, or the first row.
        """
        values: dict[str, Value] = {}
        for one in self.variables:
            if one["name"] in chosen:
                values[one["name"]] = chosen[one["name"]]
            else:
                found = ask(expand(one["query"], shown, values))
                values[one["name"]] = one["allValue"] if one.get("includeAll") else str(found[0][0])
        return values


def boards() -> list[Board]:
    """Return the dashboards by the names of their files."""
    return [Board(path.stem, json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json"))]
