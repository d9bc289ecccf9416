"""Network Operations: what voice and radio do now, what is wrong, where to look."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from telestream.grafana.panels.parts import (
    ALL,
    OPERATIONS,
    board,
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
from telestream.grafana.panels.shared import (
    ANOMALIES,
    CELL,
    CELL_GRAIN,
    IN_REGION,
    LOADS,
    NETWORK_GRAIN,
    OF_CELL,
    OF_TECHNOLOGY,
    REGION,
    TECHNOLOGY,
    TOTAL_GRAIN,
    TRAFFIC_GRAIN,
)

UID = "telestream-network"
_ALL_CELLS = f"{ALL} IN ($cell) AND {ALL} IN ($technology)"
_MEASURES = (
    "t.bucket, t.region_code, t.record_type, t.attempts, t.answered, t.failed, t.dropped, t.busy, t.no_answer,"
    " t.seconds, t.bytes_up, t.bytes_down"
)


def _traffic(grain: str, of_regions: str) -> str:
    """Return traffic of the cells chosen: of regions, which are few rows, if that condition of constants holds.

    The planner drops the half that does not apply.
    """
    return (
        f"(SELECT {_MEASURES} FROM gold.region_traffic_$total_grain AS t WHERE {of_regions}"
        f" UNION ALL SELECT {_MEASURES} FROM gold.cell_traffic_{grain} AS t"
        f" WHERE NOT ({of_regions}) AND {OF_CELL} AND {OF_TECHNOLOGY})"
        f" AS t WHERE $__timeFilter(t.bucket) AND {IN_REGION}"
    )


# Over time; regions have no totals by 5 minutes.
_TRAFFIC = _traffic("$grain", f"{_ALL_CELLS} AND '$grain' <> '5m'")
_VOICE = f"{_TRAFFIC} AND t.record_type = 'voice'"
# Summed up over the range.
_VOICE_IN_ALL = f"{_traffic('$total_grain', _ALL_CELLS)} AND t.record_type = 'voice'"
_VOICE_BY_CELL = (
    f"gold.cell_traffic_$cell_grain AS t WHERE $__timeFilter(t.bucket) AND {IN_REGION} AND {OF_CELL}"
    f" AND {OF_TECHNOLOGY} AND t.record_type = 'voice'"
)
_RADIO = (
    f"gold.network_$network_grain AS t WHERE $__timeFilter(t.bucket) AND {IN_REGION} AND {OF_CELL}"
    f" AND {chosen('technology', 't.technology')}"
)
_ANOMALY = f"gold.anomaly AS t WHERE {IN_REGION} AND {OF_CELL} AND {OF_TECHNOLOGY}"
_ASR = "100.0 * sum(t.answered) / nullif(sum(t.attempts), 0)"
_NER = "100.0 * sum(t.answered + t.busy + t.no_answer) / nullif(sum(t.attempts), 0)"
_DROPS = "100.0 * sum(t.dropped) / nullif(sum(t.answered), 0)"
_ERLANGS = "sum(t.seconds) / extract(EPOCH FROM interval '$grain')"
_COUNTS = ", ".join(f"sum(t.latency_counts[{number}])" for number in range(1, 14))
_P95 = f"gold.latency_percentile(0.95, ARRAY[{_COUNTS}]::bigint[], max(t.latency_ms_max))"
_HERE = f"/d/{UID}?var-cell=${{__data.fields.cell_id:percentencode}}"
_THEN = "from=${__data.fields.from_ms.numeric}&to=${__data.fields.to_ms.numeric}"
_REPLAY = [
    ("Replay: this cell at that time", f"{_HERE}&{_THEN}"),
    ("Acknowledge on the operations page", f"{OPERATIONS}/"),
]
_LOOK = [("Show this cell alone", f"{_HERE}&${{__url_time_range}}")]


def _mean(value: str, samples: str) -> str:
    """Return a mean over cells, each weighed by its samples."""
    return f"sum(t.{value} * t.{samples}) / nullif(sum(t.{samples}), 0)"


def _radio(columns: str) -> str:
    return f'SELECT t.bucket AS "time", t.technology AS metric, {columns} FROM {_RADIO} GROUP BY 1, 2 ORDER BY 1, 2'


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = board(
        "Network Operations",
        UID,
        "Voice, data and radio of the network, anomalies and how to replay them, cells that need a look.",
        "now-3h",
        "1m",
        REGION,
        TECHNOLOGY,
        CELL,
        TRAFFIC_GRAIN,
        TOTAL_GRAIN,
        CELL_GRAIN,
        NETWORK_GRAIN,
    )
    made = made.annotation(ANOMALIES).annotation(LOADS)
    made = section(
        made,
        "Now",
        number(
            "Open anomalies",
            "Anomalies that have not ended, of the cells chosen, whenever they began. The table below has each.",
            "short",
            rows(f"SELECT count(*) AS open FROM {_ANOMALY} AND t.is_open"),
            thresholds=limits(1, 10),
        ),
        number(
            "Cells reporting",
            "Cells with a network event in the range. A fall means cells are silent.",
            "short",
            rows(f"SELECT count(DISTINCT t.cell_key) AS cells FROM {_RADIO}"),
        ),
        number(
            "Answer-seizure ratio",
            "Answered of all call attempts in the range. Below 50 %: look at failures by cell.",
            "percent",
            rows(f"SELECT {_ASR} AS asr FROM {_VOICE_IN_ALL}"),
            thresholds=limits(60, 50),
            decimals=1,
        ),
        number(
            "Dropped calls",
            "Lost of all answered calls in the range.",
            "percent",
            rows(f"SELECT {_DROPS} AS dropped FROM {_VOICE_IN_ALL}"),
            thresholds=limits(2, 5),
            decimals=2,
        ),
        number(
            "Latency, p95",
            "95th percentile of the round trip in the range, interpolated within fixed bounds.",
            "ms",
            rows(f"SELECT {_P95} AS p95 FROM {_RADIO}"),
            thresholds=limits(80, 150),
            decimals=0,
        ),
        number(
            "Packet loss",
            "Mean over all samples in the range.",
            "percent",
            rows(f"SELECT {_mean('packet_loss_pct_mean', 'loss_samples')} AS loss FROM {_RADIO}"),
            thresholds=limits(1, 3),
            decimals=2,
        ),
    )
    made = section(
        made,
        "Voice and data",
        series(
            "Call attempts",
            "Call attempts, answered and failed ones, per point of the grain.",
            "short",
            over_time(
                'SELECT t.bucket AS "time", sum(t.attempts)::bigint AS attempts, sum(t.answered)::bigint AS answered,'
                f" sum(t.failed)::bigint AS failed FROM {_VOICE} GROUP BY 1 ORDER BY 1"
            ),
        ),
        series(
            "Answered and effective",
            "ASR: answered of all attempts. NER: attempts the network did not fail (ITU-T E.411).",
            "percent",
            over_time(
                f'SELECT t.bucket AS "time", {_ASR} AS "ASR", {_NER} AS "NER" FROM {_VOICE} GROUP BY 1 ORDER BY 1'
            ),
            thresholds=limits(60, 50),
        ),
        series(
            "Dropped calls",
            "Lost of all answered calls.",
            "percent",
            over_time(f'SELECT t.bucket AS "time", {_DROPS} AS dropped FROM {_VOICE} GROUP BY 1 ORDER BY 1'),
            thresholds=limits(2, 5),
        ),
        series(
            "Voice traffic by region",
            "Mean number of calls in progress (Erlangs): billed seconds over seconds of the point.",
            "none",
            over_time(
                f'SELECT t.bucket AS "time", t.region_code AS metric, {_ERLANGS} AS erlangs'
                f" FROM {_VOICE} GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            stacked=True,
        ),
        series(
            "Data volume",
            "Bytes from and to subscribers, per second.",
            "Bps",
            over_time(
                'SELECT t.bucket AS "time",'
                " sum(t.bytes_down) / extract(EPOCH FROM interval '$grain') AS down,"
                " sum(t.bytes_up) / extract(EPOCH FROM interval '$grain') AS up"
                f" FROM {_TRAFFIC} AND t.record_type = 'data' GROUP BY 1 ORDER BY 1"
            ),
        ),
        series(
            "Messages",
            "SMS and MMS, per point of the grain.",
            "short",
            over_time(
                'SELECT t.bucket AS "time", t.record_type AS metric, sum(t.attempts)::bigint AS messages'
                f" FROM {_TRAFFIC} AND t.record_type IN ('sms', 'mms') GROUP BY 1, 2 ORDER BY 1, 2"
            ),
        ),
    )
    made = section(
        made,
        "Radio",
        series(
            "Latency, p95",
            "95th percentile of the round trip by technology, interpolated within fixed bounds.",
            "ms",
            over_time(_radio(f"{_P95} AS p95")),
            thresholds=limits(80, 150),
        ),
        series(
            "Failed attaches, set-ups and handovers",
            "Failures of all attaches, RRC set-ups and handovers.",
            "percent",
            over_time(
                'SELECT t.bucket AS "time",'
                " 100.0 * sum(t.attach_failures) / nullif(sum(t.attaches), 0) AS attaches,"
                ' 100.0 * sum(t.rrc_failures) / nullif(sum(t.rrc_setups), 0) AS "set-ups",'
                " 100.0 * sum(t.handover_failures) / nullif(sum(t.handovers), 0) AS handovers"
                f" FROM {_RADIO} GROUP BY 1 ORDER BY 1"
            ),
            thresholds=limits(5, 15),
        ),
        series(
            "Throughput to subscribers",
            "Mean over all samples, by technology.",
            "bps",
            over_time(_radio(f"1000 * {_mean('throughput_down_kbps_mean', 'throughput_samples')} AS throughput")),
        ),
        series(
            "Signal",
            "Mean received power (RSRP) by technology; around -80 dBm is good, below -110 dBm calls drop.",
            "dBm",
            over_time(_radio(f"{_mean('rsrp_dbm_mean', 'rsrp_samples')} AS rsrp")),
            least=None,
        ),
        series(
            "Signal to noise",
            "Mean SINR by technology; below 0 dB little gets through.",
            "dB",
            over_time(_radio(f"{_mean('sinr_db_mean', 'sinr_samples')} AS sinr")),
            least=None,
        ),
        series(
            "Network events",
            "Events by technology, and alarms that network elements raised, per point of the grain.",
            "short",
            over_time(_radio("sum(t.events)::bigint AS events, sum(t.alarms)::bigint AS alarms")),
        ),
    )
    return section(
        made,
        "Where to look",
        listing(
            "Anomalies",
            "Open ones and those that began in the range, the worst first. Click a cell to replay what happened.",
            rows(
                "SELECT t.severity, t.cell_id, t.description, t.peak_value AS worst, t.median AS normal,"
                " t.started_at AS began, t.ended_at AS ended, t.acknowledged_at AS acknowledged,"
                " (1000 * extract(EPOCH FROM t.from_at))::bigint AS from_ms,"
                " (1000 * extract(EPOCH FROM t.to_at))::bigint AS to_ms"
                f" FROM {_ANOMALY} AND (t.is_open OR $__timeFilter(t.started_at))"
                " ORDER BY t.is_open DESC, array_position(ARRAY['critical', 'major', 'minor'], t.severity),"
                " t.started_at DESC LIMIT 100"
            ),
            hidden=("from_ms", "to_ms"),
            links={"cell_id": _REPLAY},
            width=24,
        ),
        ranking(
            "Cells that drop most calls",
            "Lost of all answered calls, over whole hours or days of the range; cells with 10 answered calls or more.",
            "percent",
            rows(
                f"SELECT t.cell_id, {_DROPS} AS dropped FROM {_VOICE_BY_CELL} GROUP BY t.cell_id"
                " HAVING sum(t.answered) >= 10 AND sum(t.dropped) > 0 ORDER BY 2 DESC, 1 LIMIT 10"
            ),
            thresholds=limits(2, 5),
        ),
        ranking(
            "Cells that fail most calls",
            "Failed or congested attempts, over whole hours or days of the range; cells with 10 attempts or more.",
            "percent",
            rows(
                "SELECT t.cell_id, 100.0 * sum(t.failed) / sum(t.attempts) AS failed"
                f" FROM {_VOICE_BY_CELL} GROUP BY t.cell_id"
                " HAVING sum(t.attempts) >= 10 AND sum(t.failed) > 0 ORDER BY 2 DESC, 1 LIMIT 10"
            ),
            thresholds=limits(5, 15),
        ),
        ranking(
            "Busiest cells",
            "Billed seconds of voice, over whole hours or days of the range.",
            "s",
            rows(
                f"SELECT t.cell_id, sum(t.seconds)::bigint AS seconds FROM {_VOICE_BY_CELL}"
                " GROUP BY t.cell_id ORDER BY 2 DESC, 1 LIMIT 10"
            ),
        ),
        listing(
            "Cells that may exceed their capacity",
            "Cells whose busy hour may exceed what they carry on one of the next days, the likeliest first.",
            rows(
                "SELECT t.cell_id, t.region_code, t.day, t.probability_pct AS chance, t.expected, t.upper_95,"
                f" t.capacity_erlangs AS capacity FROM gold.capacity_risk AS t WHERE {IN_REGION} AND {OF_CELL}"
                " ORDER BY t.probability_pct DESC, t.day, t.cell_id LIMIT 50"
            ),
            units={"chance": "percent"},
            links={"cell_id": _LOOK},
        ),
        listing(
            "Cells unlike themselves",
            "Cells whose last week differs most from their own weeks before: their use has changed.",
            rows(
                "SELECT t.cell_id, t.region_code, t.technology, t.week, t.distance, t.by_chance, t.records"
                f" FROM gold.cell_drift AS t WHERE t.is_drifting AND {IN_REGION} AND {OF_CELL}"
                " AND t.week = (SELECT max(d.week) FROM gold.cell_drift AS d)"
                " ORDER BY t.distance DESC, t.cell_id LIMIT 50"
            ),
            links={"cell_id": _LOOK},
        ),
    )
