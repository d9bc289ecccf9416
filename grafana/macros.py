"""What Grafana makes of a query before the database sees it: macros and variables, as its PostgreSQL source does.

So a test and a benchmark can run the queries of dashboards without Grafana. A macro or variable that is not known here
is an error, never left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from telestream.errors import UsageError

# The value of a variable: one, several, or all as the text that stands for them.
Value = str | list[str]
# Widths Grafana rounds to, seconds; how many points a panel has when it is as wide as a screen is half.
_WIDTHS = (1, 5, 10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800)
_POINTS = 1000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MACRO = re.compile(r"\$__(\w+)\(([^)]*)\)")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


@dataclass(frozen=True)
class Range:
    """The time that a dashboard shows."""

    start: datetime
    end: datetime

    @property
    def interval(self) -> str:
        """Width of a point as `$__interval` has it: the narrowest of usual ones that fits a panel."""
        wanted = (self.end - self.start) / timedelta(seconds=_POINTS)
        width = next((width for width in _WIDTHS if width >= wanted), _WIDTHS[-1])
        unit = next(unit for unit in ("w", "d", "h", "m", "s") if width % _UNITS[unit] == 0)
        return f"{width // _UNITS[unit]}{unit}"


def expand(sql: str, shown: Range, variables: Mapping[str, Value]) -> str:
    """Return the query as the database gets it.

    Args:
        sql: the query as a dashboard has it.
        shown: the range of the dashboard.
        variables: values by name; a list is quoted and joined with commas, a text is put in as it is.

    Raises:
        UsageError: it names a macro or variable that is not known.
    """

    def variable(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name == "__interval":
            return shown.interval
        if name.startswith("__"):
            return match[0]
        if name not in variables:
            raise UsageError(f"the query names the variable {name}, which the dashboard does not have", detail=sql)
        value = variables[name]
        return value if isinstance(value, str) else ",".join(_quoted(one) for one in value)

    def macro(match: re.Match[str]) -> str:
        name, arguments = match[1], [argument.strip() for argument in match[2].split(",")]
        start, end = _instant(shown.start), _instant(shown.end)
        match name:
            case "timeFilter":
                return f"{arguments[0]} BETWEEN {start} AND {end}"
            case "timeFrom":
                return start
            case "timeTo":
                return end
            case "timeGroup":
                return f"time_bucket('{seconds(arguments[1]):.3f}s',{arguments[0]})"
            case _:
                raise UsageError(f"the macro $__{name} is not known", detail=sql)

    return _MACRO.sub(macro, _VARIABLE.sub(variable, sql))


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _instant(at: datetime) -> str:
    return f"'{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z'"


def seconds(text: str) -> int:
    """Return the seconds of a width as Grafana writes it: 30s, 5m, 1h, 1d, 1w.

    Raises:
        UsageError: it is no such width.
    """
    match = re.fullmatch(r"'?(\d+)([smhdw])'?", text)
    if match is None:
        raise UsageError(f"{text} is no width of a point", hint="Write it as 5m, 1h or 1d.")
    return int(match[1]) * _UNITS[match[2]]
