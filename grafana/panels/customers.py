"""Customer Analytics: segments, churn and use by plan. Counts and means alone: nobody is shown."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from telestream.grafana.panels.parts import (
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
from telestream.grafana.panels.shared import IN_REGION, REGION

_PLAN = choice(
    "plan",
    "Plan",
    "SELECT plan_code AS __value, name AS __text FROM silver.dim_service_plan WHERE plan_key <> 0 ORDER BY name",
    "Service plans",
)
_USE = f"gold.revenue_daily AS t WHERE $__timeFilter(t.bucket) AND {IN_REGION} AND {chosen('plan', 't.plan_code')}"
_WEEKS = "BETWEEN $__timeFrom()::timestamptz::date - 6 AND $__timeTo()::timestamptz::date"
_SEGMENTS = f"gold.customer_segment AS s WHERE s.week {_WEEKS}"
_LAST_SEGMENTS = f"{_SEGMENTS} AND s.week = (SELECT max(m.week) FROM gold.customer_segment AS m WHERE m.week {_WEEKS})"
_RISKS = f"gold.churn_risk AS c WHERE c.week = (SELECT max(m.week) FROM gold.churn_risk AS m WHERE m.week {_WEEKS})"
_BANDS = "CASE WHEN c.risk >= 0.7 THEN 'high' WHEN c.risk >= 0.3 THEN 'medium' ELSE 'low' END"


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = board(
        "Customer Analytics",
        "telestream-customers",
        "Segments, risk of churn and use by plan. Counts and means alone: no row is about one person.",
        "now-84d",
        "1h",
        REGION,
        _PLAN,
    )
    made = section(
        made,
        "In short",
        number(
            "Customers",
            "Customers with a segment in the last whole week of the range.",
            "short",
            rows(f"SELECT count(*) AS customers FROM {_LAST_SEGMENTS}"),
            width=6,
        ),
        number(
            "Active",
            "Of these, customers with a record within seven days before the week's end.",
            "percent",
            rows(f"SELECT 100.0 * avg((s.recency_days < 7)::integer) AS active FROM {_LAST_SEGMENTS}"),
            thresholds=limits(60, 40),
            width=6,
            decimals=1,
        ),
        number(
            "At risk or hibernating",
            "Of these, customers who used to use the network more than they do.",
            "percent",
            rows(
                f"SELECT 100.0 * avg((s.segment IN ('at_risk', 'hibernating'))::integer) AS share FROM {_LAST_SEGMENTS}"
            ),
            thresholds=limits(20, 40),
            width=6,
            decimals=1,
        ),
        number(
            "Quality of the churn model",
            "Area under the ROC curve on customers it had not seen: 0.5 is chance, 1 is perfect.",
            "none",
            rows("SELECT m.auc_held AS auc FROM gold.churn_model AS m ORDER BY m.version DESC LIMIT 1"),
            thresholds=limits(0.8, 0.7),
            width=6,
            decimals=3,
        ),
    )
    made = section(
        made,
        "Segments and churn",
        series(
            "Customers by segment",
            "Segments by recency, frequency and monetary value at the end of each whole week.",
            "short",
            over_time(
                'SELECT s.week::timestamptz AS "time", s.segment AS metric, count(*) AS customers'
                f" FROM {_SEGMENTS} GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            stacked=True,
        ),
        listing(
            "Segments in the last week",
            "How many, how recent, how often and how much, means per segment and currency.",
            rows(
                "SELECT s.segment, s.currency, count(*) AS customers, avg(s.recency_days) AS recency,"
                ' avg(s.active_days) AS "active days", avg(s.charge) AS charge'
                f" FROM {_LAST_SEGMENTS} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
            ),
            units={"recency": "d", "active days": "d"},
        ),
        ranking(
            "Risk of churn",
            "Customers by risk in the last week that was scored: low below 0.3, high from 0.7 on.",
            "short",
            rows(f"SELECT {_BANDS} AS band, count(*) AS customers FROM {_RISKS} GROUP BY 1 ORDER BY min(c.risk)"),
            width=12,
        ),
        listing(
            "Churn models",
            "Versions of the model, the newest first: how many customers they learnt from and how good they are.",
            rows(
                "SELECT m.version, m.trained_at, m.customers, m.churned, m.auc_held, m.auc_later"
                " FROM gold.churn_model AS m ORDER BY m.version DESC LIMIT 20"
            ),
        ),
    )
    return section(
        made,
        "Use by plan",
        series(
            "Records by plan",
            "Calls, messages and data sessions per day of the operator.",
            "short",
            over_time(
                'SELECT t.bucket AS "time", t.plan_code AS metric, sum(t.events)::bigint AS records'
                f" FROM {_USE} GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            stacked=True,
        ),
        series(
            "Revenue by plan",
            "Sum of charges per day of the operator. Currencies are added as they are: choose plans of one.",
            "short",
            over_time(
                'SELECT t.bucket AS "time", t.plan_code AS metric, sum(t.revenue) AS revenue'
                f" FROM {_USE} GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            stacked=True,
        ),
        series(
            "Revenue per record",
            "Mean charge of a record by type of record.",
            "none",
            over_time(
                'SELECT t.bucket AS "time", t.record_type AS metric, sum(t.revenue) / sum(t.events) AS revenue'
                f" FROM {_USE} GROUP BY 1, 2 ORDER BY 1, 2"
            ),
        ),
        ranking(
            "Plans by use",
            "Records in the range.",
            "short",
            rows(
                "SELECT t.plan_code, sum(t.events)::bigint AS records"
                f" FROM {_USE} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10"
            ),
            width=12,
        ),
    )
