"""Executive KPI: revenue, use, quality of service, risks, a month at a time."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from telestream.grafana.panels.parts import board, limits, number, over_time, ranking, rows, section, series
from telestream.grafana.panels.shared import ALL_ANOMALIES, IN_REGION, REGION, REGION_GRAIN

_REVENUE = f"gold.revenue_daily AS t WHERE $__timeFilter(t.bucket) AND {IN_REGION}"
_TRAFFIC = f"gold.region_traffic_$grain AS t WHERE $__timeFilter(t.bucket) AND {IN_REGION}"
_VOICE = f"{_TRAFFIC} AND t.record_type = 'voice'"
_ASR = "100.0 * sum(t.answered) / nullif(sum(t.attempts), 0)"


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = board(
        "Executive KPI",
        "telestream-executive",
        "Revenue, use of the network, quality of service and open risks of the regions chosen.",
        "now-30d",
        "15m",
        REGION,
        REGION_GRAIN,
    ).annotation(ALL_ANOMALIES)
    made = section(
        made,
        "In short",
        number(
            "Revenue",
            "Sum of charges in the range, a value per currency. Days are those of the operator.",
            "short",
            over_time(
                "SELECT max(t.bucket) AS \"time\", coalesce(t.currency, 'no currency') AS metric,"
                f" sum(t.revenue) AS revenue FROM {_REVENUE} GROUP BY 2 ORDER BY 1"
            ),
            decimals=0,
        ),
        number(
            "Records",
            "Calls, messages and data sessions in the range.",
            "short",
            rows(f"SELECT sum(t.attempts)::bigint AS records FROM {_TRAFFIC}"),
        ),
        number(
            "Data volume",
            "Bytes to and from subscribers in the range.",
            "decbytes",
            rows(f"SELECT sum(t.bytes_up + t.bytes_down)::bigint AS bytes FROM {_TRAFFIC}"),
        ),
        number(
            "Answered calls",
            "Answered of all call attempts in the range (ASR).",
            "percent",
            rows(f"SELECT {_ASR} AS asr FROM {_VOICE}"),
            thresholds=limits(60, 50),
            decimals=1,
        ),
        number(
            "Data quality",
            "Records without error of all that were loaded in the range. The aim is more than 99 %.",
            "percent",
            rows(
                "SELECT 100.0 * (1 - sum(q.rows_quarantined) / nullif(sum(q.rows_in), 0)) AS score"
                " FROM quality.score_by_day AS q"
                " WHERE q.day BETWEEN $__timeFrom()::timestamptz::date AND $__timeTo()::timestamptz::date"
            ),
            thresholds=limits(99, 95),
            decimals=2,
        ),
        number(
            "Open critical anomalies",
            "Cells that are out or serve nobody now. The dashboard Network Operations lists them.",
            "short",
            rows(
                "SELECT count(*) AS open FROM gold.anomaly AS t"
                f" WHERE t.is_open AND t.severity = 'critical' AND {IN_REGION}"
            ),
            thresholds=limits(1, 5),
        ),
    )
    made = section(
        made,
        "Revenue",
        series(
            "Revenue by day",
            "Sum of charges per day of the operator, a series per currency.",
            "short",
            over_time(
                "SELECT t.bucket AS \"time\", coalesce(t.currency, 'no currency') AS metric, sum(t.revenue) AS revenue"
                f" FROM {_REVENUE} GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            bars=True,
        ),
        series(
            "Revenue by service",
            "Sum of charges per day by type of record. Currencies are added as they are: choose regions of one.",
            "short",
            over_time(
                'SELECT t.bucket AS "time", t.record_type AS metric, sum(t.revenue) AS revenue'
                f" FROM {_REVENUE} GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            stacked=True,
        ),
        ranking(
            "Revenue by region",
            "Sum of charges in the range, the ten largest, a bar per region and currency.",
            "short",
            rows(
                "SELECT concat_ws(' ', t.region_code, t.currency) AS region, sum(t.revenue) AS revenue"
                f" FROM {_REVENUE} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10"
            ),
            width=12,
        ),
        ranking(
            "Revenue by plan",
            "Sum of charges in the range, the ten largest, a bar per plan and currency.",
            "short",
            rows(
                "SELECT concat_ws(' ', t.plan_code, t.currency) AS plan, sum(t.revenue) AS revenue"
                f" FROM {_REVENUE} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10"
            ),
            width=12,
        ),
    )
    made = section(
        made,
        "Use and service",
        series(
            "Records by type",
            "Calls, messages and data sessions, per point of the grain.",
            "short",
            over_time(
                'SELECT t.bucket AS "time", t.record_type AS metric, sum(t.attempts)::bigint AS records'
                f" FROM {_TRAFFIC} GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            stacked=True,
        ),
        series(
            "Data volume",
            "Bytes to and from subscribers, per point of the grain.",
            "decbytes",
            over_time(
                'SELECT t.bucket AS "time", sum(t.bytes_down)::bigint AS down, sum(t.bytes_up)::bigint AS up'
                f" FROM {_TRAFFIC} GROUP BY 1 ORDER BY 1"
            ),
            stacked=True,
        ),
        series(
            "Answered calls by region",
            "Answered of all call attempts (ASR).",
            "percent",
            over_time(
                f'SELECT t.bucket AS "time", t.region_code AS metric, {_ASR} AS asr'
                f" FROM {_VOICE} GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            thresholds=limits(60, 50),
        ),
        series(
            "Dropped calls by region",
            "Lost of all answered calls.",
            "percent",
            over_time(
                'SELECT t.bucket AS "time", t.region_code AS metric,'
                " 100.0 * sum(t.dropped) / nullif(sum(t.answered), 0) AS dropped"
                f" FROM {_VOICE} GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            thresholds=limits(2, 5),
        ),
    )
    return section(
        made,
        "Risks",
        series(
            "Anomalies by severity",
            "Anomalies of cells by the day they began.",
            "short",
            over_time(
                "SELECT time_bucket('1 day', t.started_at) AS \"time\", t.severity AS metric, count(*) AS anomalies"
                f" FROM gold.anomaly AS t WHERE $__timeFilter(t.started_at) AND {IN_REGION}"
                " GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            width=8,
            bars=True,
        ),
        series(
            "Suspected fraud",
            "Cases by the day they began and by rule: suspicions, not findings. They name nobody.",
            "short",
            over_time(
                'SELECT f.day::timestamptz AS "time", f.rule AS metric, sum(f.cases)::bigint AS cases'
                " FROM gold.fraud_daily AS f"
                " WHERE f.day BETWEEN $__timeFrom()::timestamptz::date AND $__timeTo()::timestamptz::date"
                " GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            width=8,
            bars=True,
        ),
        ranking(
            "Cells that may exceed their capacity",
            "Cells whose busy hour may exceed what they carry within 14 days, by region.",
            "short",
            rows(
                "SELECT t.region_code, count(DISTINCT t.cell_key) AS cells FROM gold.capacity_risk AS t"
                f" WHERE t.is_expected AND {IN_REGION} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10"
            ),
            thresholds=limits(5, 20),
        ),
    )
