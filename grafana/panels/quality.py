"""Data Quality: whether data is on time, complete and right, and what was refused why."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from telestream.grafana.panels.parts import (
    annotation,
    board,
    choice,
    chosen,
    limits,
    listing,
    number,
    over_time,
    ranking,
    rows,
    section,
    series,
)
from telestream.grafana.panels.shared import LOADS

_DATASET = choice(
    "dataset", "Dataset", "SELECT f.dataset FROM ops.freshness AS f ORDER BY f.dataset", "What the records are"
)
_DAYS = "q.day BETWEEN $__timeFrom()::timestamptz::date AND $__timeTo()::timestamptz::date"
_SCORES = f"quality.score_by_day AS q WHERE {_DAYS} AND {chosen('dataset', 'q.dataset')}"
_LOADED = f"ops.load AS l WHERE $__timeFilter(l.finished_at) AND {chosen('dataset', 'l.dataset')}"
_INCIDENTS = annotation(
    "Incidents of quality",
    "orange",
    f"""
    SELECT
        i.started_at AS time,
        coalesce(i.ended_at, least(now(), $__timeTo()::timestamptz)) AS timeend,
        concat_ws(' ', i.dataset, i.rule, i.subject) AS text,
        i.dataset AS tags
    FROM quality.incident AS i
    WHERE $__timeFilter(i.started_at) AND {chosen("dataset", "i.dataset")}
    ORDER BY i.started_at DESC
    LIMIT 200
    """,
)


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = (
        board(
            "Data Quality",
            "telestream-quality",
            "Whether data is on time, complete and right, what was refused and why.",
            "now-7d",
            "5m",
            _DATASET,
        )
        .annotation(LOADS)
        .annotation(_INCIDENTS)
    )
    made = section(
        made,
        "In short",
        number(
            "Score",
            "Records without error of all that were loaded in the range. The aim is more than 99 %.",
            "percent",
            rows(f"SELECT 100.0 * (1 - sum(q.rows_quarantined) / nullif(sum(q.rows_in), 0)) AS score FROM {_SCORES}"),
            thresholds=limits(99, 95),
            decimals=2,
        ),
        number(
            "Records loaded",
            "Rows that went into Silver in the range.",
            "short",
            rows(f"SELECT coalesce(sum(l.rows_loaded), 0)::bigint AS records FROM {_LOADED}"),
        ),
        number(
            "Refused",
            "Rows in quarantine that were not replayed, whenever they came.",
            "short",
            rows(
                "SELECT coalesce(sum(q.open_records), 0)::bigint AS records FROM quality.quarantine_summary AS q"
                f" WHERE {chosen('dataset', 'q.dataset')}"
            ),
            thresholds=limits(1_000, 100_000),
        ),
        number(
            "Late",
            "Rows of the range that were further behind the stream than is allowed; they are stored.",
            "short",
            rows(f"SELECT coalesce(sum(l.rows_late), 0)::bigint AS records FROM {_LOADED}"),
        ),
        number(
            "Open incidents",
            "Expectations of a dataset that fail now; the table below has each.",
            "short",
            rows(
                "SELECT count(*) AS open FROM quality.incident AS i"
                f" WHERE i.ended_at IS NULL AND {chosen('dataset', 'i.dataset')}"
            ),
            thresholds=limits(1, 5),
        ),
        number(
            "Sources too late",
            "Sources that did not deliver by when they had to.",
            "short",
            rows(f"SELECT count(*) AS late FROM ops.sla AS s WHERE s.is_breached AND {chosen('dataset', 's.dataset')}"),
            thresholds=limits(1, 3),
        ),
    )
    made = section(
        made,
        "What came",
        series(
            "Score by day",
            "Records without error of all, by day of loading and dataset.",
            "percent",
            over_time(
                f'SELECT q.day::timestamptz AS "time", q.dataset AS metric, q.score FROM {_SCORES} ORDER BY 1, 2'
            ),
            thresholds=limits(99, 95),
            least=90,
        ),
        series(
            "Records",
            "Rows loaded, found again and refused, by when their batch was finished.",
            "short",
            over_time(
                'SELECT $__timeGroup(l.finished_at, $__interval) AS "time", sum(l.rows_loaded)::bigint AS loaded,'
                " sum(l.rows_duplicate)::bigint AS duplicates, sum(l.rows_quarantined)::bigint AS refused"
                f" FROM {_LOADED} GROUP BY 1 ORDER BY 1"
            ),
            stacked=True,
            bars=True,
        ),
        series(
            "Violations by rule",
            "How often each rule was violated, by when the batch was finished. A row may violate several.",
            "short",
            over_time(
                'SELECT $__timeGroup(l.finished_at, $__interval) AS "time", v.rule AS metric,'
                " sum(v.violations)::bigint AS violations FROM quality.rule_result AS v"
                f" INNER JOIN {_LOADED.replace(' WHERE ', ' ON v.batch_id = l.batch_id WHERE ', 1)}"
                " AND v.violations > 0 GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            stacked=True,
            bars=True,
        ),
        listing(
            "Dimensions",
            "Per cent of records without an error of each dimension, by day of loading.",
            rows(
                "SELECT q.day, q.dataset, q.rows_in, q.completeness, q.validity, q.uniqueness, q.timeliness,"
                f" q.consistency FROM {_SCORES} ORDER BY q.day DESC, q.dataset"
            ),
            units={
                "rows_in": "short",
                **dict.fromkeys(("completeness", "validity", "uniqueness", "timeliness", "consistency"), "percent"),
            },
        ),
        ranking(
            "Refused by rule",
            "Rows in quarantine by the first rule they violate, those replayed included.",
            "short",
            rows(
                "SELECT concat_ws(' ', q.dataset, q.rule) AS rule, sum(q.records)::bigint AS records"
                f" FROM quality.quarantine_summary AS q WHERE {chosen('dataset', 'q.dataset')}"
                " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 15"
            ),
            width=24,
        ),
    )
    return section(
        made,
        "What is expected",
        listing(
            "Freshness",
            "How far each dataset has come, and buckets of rollups that wait for a refresh.",
            rows(
                "SELECT f.dataset, f.newest_event_at, f.last_loaded_at, f.pending_buckets FROM ops.freshness AS f"
                f" WHERE {chosen('dataset', 'f.dataset')} ORDER BY f.dataset"
            ),
            units={"pending_buckets": "short"},
        ),
        listing(
            "Service levels of sources",
            "What each source had to deliver by when, and what it has; those that breach it first.",
            rows(
                "SELECT s.dataset, s.source, s.outcome, s.due_at, s.last_event_at, s.breached_since FROM ops.sla AS s"
                f" WHERE {chosen('dataset', 's.dataset')}"
                " ORDER BY s.is_breached DESC NULLS LAST, s.dataset, s.source LIMIT 100"
            ),
        ),
        listing(
            "Expectations",
            "The last result of every expectation, those that fail first.",
            rows(
                "SELECT e.dataset, e.rule, e.subject, e.outcome, e.observed, e.at_least, e.at_most, e.failing_since,"
                " e.message FROM quality.expectation_status AS e"
                f" WHERE {chosen('dataset', 'e.dataset')}"
                " ORDER BY e.outcome <> 'failed', e.dataset, e.rule, e.subject LIMIT 200"
            ),
            width=24,
        ),
    )
