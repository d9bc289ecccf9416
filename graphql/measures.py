"""The KPIs and measures of series: what each is, in SQL over the Gold views."""

from __future__ import annotations

from dataclasses import replace

from telestream.graphql.series import DAY, FIVE_MINUTES, HOUR, Family, Measure


def _count(column: str, unit: str = "1") -> Measure:
    return Measure(f"sum(v.{column})", unit, is_count=True)


def _share(part: str, whole: str) -> Measure:
    return Measure(f"100.0 * sum({part}) / nullif(sum({whole}), 0)", "%")


def _mean(column: str, samples: str, unit: str) -> Measure:
    return Measure(f"sum(v.{column} * v.{samples}) / nullif(sum(v.{samples}), 0)", unit)


_COUNTS = ", ".join(f"sum(v.latency_counts[{n}])::bigint" for n in range(1, 14))

RADIO = Family(
    views={FIVE_MINUTES: "gold.network_5m", HOUR: "gold.network_1h"},
    measures={
        "EVENTS": _count("events"),
        "DROPS": _count("drops"),
        "ALARMS": _count("alarms"),
        "DROP_RATE_PCT": _share("v.drops", "v.attaches + v.rrc_setups + v.handovers"),
        "ATTACH_FAILURE_PCT": _share("v.attach_failures", "v.attaches"),
        "RRC_FAILURE_PCT": _share("v.rrc_failures", "v.rrc_setups"),
        "HANDOVER_FAILURE_PCT": _share("v.handover_failures", "v.handovers"),
        "RSRP_DBM": _mean("rsrp_dbm_mean", "rsrp_samples", "dBm"),
        "SINR_DB": _mean("sinr_db_mean", "sinr_samples", "dB"),
        "LATENCY_MS": _mean("latency_ms_mean", "latency_samples", "ms"),
        "LATENCY_MS_P95": Measure(
            f"gold.latency_percentile(0.95, ARRAY[{_COUNTS}], max(v.latency_ms_max)::double precision)", "ms"
        ),
        "PACKET_LOSS_PCT": _mean("packet_loss_pct_mean", "loss_samples", "%"),
        "THROUGHPUT_DOWN_KBPS": _mean("throughput_down_kbps_mean", "throughput_samples", "kbit/s"),
        "THROUGHPUT_UP_KBPS": _mean("throughput_up_kbps_mean", "throughput_samples", "kbit/s"),
    },
    keys={"CELL": "v.cell_id", "REGION": "v.region_code", "TECHNOLOGY": "v.technology"},
)

_TECHNOLOGY = (
    "coalesce((SELECT c.technology FROM silver.dim_network_cell AS c WHERE c.cell_key = v.cell_key), 'unknown')"
)
_TRAFFIC = {FIVE_MINUTES: "gold.cell_traffic_5m", HOUR: "gold.cell_traffic_1h", DAY: "gold.cell_traffic_1d"}
_REGION_TRAFFIC = _TRAFFIC | {HOUR: "gold.region_traffic_1h", DAY: "gold.region_traffic_1d"}


def _with_regional(family: Family) -> Family:
    """Let what needs no cells come from hours and days of regions."""
    keys = {name: key for name, key in family.keys.items() if name not in {"CELL", "TECHNOLOGY"}}
    return replace(family, regional=replace(family, views=_REGION_TRAFFIC, keys=keys))


VOICE = _with_regional(
    Family(
        views=_TRAFFIC,
        measures={
            "ATTEMPTS": _count("attempts"),
            "ANSWERED": _count("answered"),
            "ASR_PCT": _share("v.answered", "v.attempts"),
            "ACD_S": Measure("sum(v.seconds)::double precision / nullif(sum(v.answered), 0)", "s"),
            "NER_PCT": _share("v.answered + v.busy + v.no_answer", "v.attempts"),
            "VOICE_DROP_PCT": _share("v.dropped", "v.answered"),
            "ERLANGS": Measure("sum(v.seconds)", "Erl", is_count=True, per_second=True),
        },
        keys={"CELL": "v.cell_id", "REGION": "v.region_code", "TECHNOLOGY": _TECHNOLOGY},
        condition="v.record_type = 'voice'",
    )
)

TRAFFIC = _with_regional(
    Family(
        views=_TRAFFIC,
        measures={
            "ATTEMPTS": _count("attempts"),
            "ANSWERED": _count("answered"),
            "FAILED": _count("failed"),
            "DROPPED": _count("dropped"),
            "SECONDS": _count("seconds", "s"),
            "BYTES_UP": _count("bytes_up", "B"),
            "BYTES_DOWN": _count("bytes_down", "B"),
        },
        keys={
            "CELL": "v.cell_id",
            "REGION": "v.region_code",
            "TECHNOLOGY": _TECHNOLOGY,
            "RECORD_TYPE": "v.record_type",
        },
    )
)

REVENUE = Family(
    views={DAY: "gold.revenue_daily"},
    measures={"REVENUE": _count("revenue", "currency"), "RECORDS": _count("events")},
    # Sums over different currencies mean nothing, so each key names its own.
    keys={
        "TOTAL": "coalesce(v.currency, 'unknown')",
        "REGION": "v.region_code || ' ' || coalesce(v.currency, 'unknown')",
        "PLAN": "v.plan_code || ' ' || coalesce(v.currency, 'unknown')",
        "RECORD_TYPE": "v.record_type || ' ' || coalesce(v.currency, 'unknown')",
    },
)
