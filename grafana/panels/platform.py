"""Platform: the API and the consumers by their metrics, the database by what it tells of itself."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from telestream.grafana.panels.parts import board, limits, listing, number, promql, rows, section, series
from telestream.grafana.panels.shared import LOADS
from telestream.metrics import SERVICE_FAULTS

_RATE = "[$__rate_interval]"


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    made = board(
        "Platform",
        "telestream-platform",
        "Whether API, consumers and the tasks in the database do their work. The metrics are those of docs/metrics.md.",
        "now-6h",
        "1m",
    ).annotation(LOADS)
    made = section(
        made,
        "In short",
        number(
            "Requests that fail",
            "Requests of the API that fail for a reason of ours, of all, in the last five minutes.",
            "percentunit",
            promql(
                f'sum(rate(telestream_api_requests_total{{code=~"{"|".join(SERVICE_FAULTS)}"}}[5m]))'
                " / sum(rate(telestream_api_requests_total[5m]))",
                instant=True,
            ),
            thresholds=limits(0.001, 0.01),
            decimals=2,
        ),
        number(
            "API, p95",
            "95th percentile of the time to answer in the last five minutes. The aim is below 200 ms.",
            "s",
            promql(
                "histogram_quantile(0.95, sum by (le) (rate(telestream_api_request_seconds_bucket[5m])))", instant=True
            ),
            thresholds=limits(0.2, 0.5),
        ),
        number(
            "Messages that wait",
            "Messages between what consumers have read and the end of the log.",
            "short",
            promql("sum(telestream_consumer_lag_messages)", instant=True),
            thresholds=limits(10_000, 1_000_000),
        ),
        number(
            "Last commit",
            "How long ago a consumer committed a batch last.",
            "s",
            promql("time() - max(telestream_consumer_last_commit_timestamp_seconds)", instant=True),
            thresholds=limits(300, 3_600),
        ),
        number(
            "Alerts that wait",
            "Alerts and dead letters that Kafka has not acknowledged. Nothing is lost meanwhile.",
            "short",
            promql("sum(telestream_consumer_outbox_pending)", instant=True),
            thresholds=limits(1, 1_000),
        ),
        number(
            "Cache",
            "Whether the cache answers all processes of the API: 1, or 0.",
            "none",
            promql("min(telestream_api_redis_up)", instant=True),
            thresholds=limits(1, 0.5),
        ),
    )
    made = section(
        made,
        "API",
        series(
            "Requests by outcome",
            "Requests a second; the outcome is ok or the code of the first error, see docs/errors.md.",
            "reqps",
            promql(f"sum by (code) (rate(telestream_api_requests_total{_RATE}))", "{{code}}"),
            stacked=True,
        ),
        series(
            "Time to answer",
            "Percentiles within the bounds of the histogram.",
            "s",
            *(
                promql(
                    f"histogram_quantile({share}, sum by (le) (rate(telestream_api_request_seconds_bucket{_RATE})))",
                    f"p{round(100 * share)}",
                )
                for share in (0.5, 0.95, 0.99)
            ),
            thresholds=limits(0.2, 0.5),
        ),
        series(
            "At work",
            "Requests being answered, open WebSockets and subscriptions on them.",
            "short",
            promql("sum(telestream_api_in_flight)", "requests"),
            promql("sum(telestream_api_sockets)", "WebSockets"),
            promql("sum(telestream_api_subscriptions)", "subscriptions"),
        ),
        series(
            "From the cache",
            "Answers from the cache, of those that may be.",
            "percentunit",
            promql(
                f"sum(rate(telestream_api_cache_hits_total{_RATE}))"
                f" / (sum(rate(telestream_api_cache_hits_total{_RATE}))"
                f" + sum(rate(telestream_api_cache_misses_total{_RATE})))",
                "hits",
            ),
        ),
        series(
            "Statements",
            "Statements that the API sends to the database, a second.",
            "ops",
            promql(f"sum(deriv(telestream_api_statements{_RATE}))", "statements"),
        ),
        series(
            "Access log",
            "Rows that wait to be written to the access log. At its limit reads of people are refused.",
            "short",
            promql("sum(telestream_api_audit_waiting)", "rows"),
            thresholds=limits(1_000, 10_000),
        ),
    )
    made = section(
        made,
        "Consumers",
        series(
            "Messages read",
            "Messages taken from the broker, a second, by topic.",
            "cps",
            promql(f"sum by (topic) (rate(telestream_consumer_messages_polled_total{_RATE}))", "{{topic}}"),
        ),
        series(
            "Messages that wait",
            "Messages to the end of the log by topic. Grows steadily: start another consumer.",
            "short",
            promql("sum by (topic) (telestream_consumer_lag_messages)", "{{topic}}"),
            thresholds=limits(10_000, 1_000_000),
        ),
        series(
            "From producer to Gold, p95",
            "From the time stamp of a record batch to the commit that shows it. The aim is below 30 s.",
            "s",
            promql(
                "histogram_quantile(0.95, sum by (le, topic)"
                f" (rate(telestream_consumer_commit_latency_seconds_bucket{_RATE})))",
                "{{topic}}",
            ),
            thresholds=limits(2, 30),
        ),
        series(
            "Time of a batch by stage",
            "Mean seconds of each stage. The tallest is what limits the rate; poll is waiting for messages.",
            "s",
            promql(
                f"sum by (stage) (rate(telestream_consumer_batch_seconds_sum{_RATE}))"
                f" / sum by (stage) (rate(telestream_consumer_batch_seconds_count{_RATE}))",
                "{{stage}}",
            ),
            stacked=True,
        ),
        series(
            "Rows",
            "What became of rows, a second: loaded, found again, refused; late ones are loaded as well.",
            "wps",
            promql(f"sum(rate(telestream_consumer_rows_loaded_total{_RATE}))", "loaded"),
            promql(f"sum(rate(telestream_consumer_rows_duplicate_total{_RATE}))", "duplicates"),
            promql(f"sum(rate(telestream_consumer_rows_quarantined_total{_RATE}))", "refused"),
            promql(f"sum(rate(telestream_consumer_rows_late_total{_RATE}))", "late"),
        ),
        series(
            "Dead letters",
            "Messages that could not be decoded, by reason. After a deployment: a schema nobody registered.",
            "short",
            promql(
                "sum by (topic, reason) (increase(telestream_consumer_dead_letters_total[$__rate_interval]))",
                "{{topic}} {{reason}}",
            ),
            bars=True,
        ),
        series(
            "Alerts",
            "Alerts that Kafka acknowledged, and those that do not fit their schema.",
            "short",
            promql(f"sum(increase(telestream_consumer_alerts_published_total{_RATE}))", "published"),
            promql(f"sum(increase(telestream_consumer_alerts_refused_total{_RATE}))", "refused"),
            bars=True,
        ),
        series(
            "Disturbances",
            "Partitions paused for the database, claimed by others, lost connections, writes that Redis did not take.",
            "short",
            promql("sum(telestream_consumer_paused_partitions)", "paused"),
            promql(f"sum(increase(telestream_consumer_fenced_total{_RATE}))", "fenced"),
            promql(f"sum by (peer) (increase(telestream_consumer_reconnects_total{_RATE}))", "reconnects, {{peer}}"),
            promql(f"sum(increase(telestream_consumer_redis_failures_total{_RATE}))", "Redis"),
        ),
    )
    return section(
        made,
        "Database",
        series(
            "Age of data",
            "Time since the latest event in Silver, and since the last batch was finished, by dataset.",
            "s",
            promql(
                "time() - max by (dataset) (telestream_database_newest_event_timestamp_seconds)", "{{dataset}}, event"
            ),
            promql("time() - max by (dataset) (telestream_database_last_load_timestamp_seconds)", "{{dataset}}, load"),
            thresholds=limits(3_600, 7_200),
        ),
        series(
            "Quality of the last 24 hours",
            "Share of the rows that no rule refused, by dataset. The aim is more than 99 %.",
            "percentunit",
            promql("min by (dataset) (telestream_database_quality_score)", "{{dataset}}"),
            thresholds=limits(0.99, 0.95),
            least=0.9,
        ),
        series(
            "What waits",
            "What waits to be done, by what it is. `telestream doctor` says what does that work.",
            "short",
            promql("max by (what) (telestream_database_backlog_items)", "{{what}}"),
        ),
        series(
            "How long it has waited",
            "Age of the oldest of what waits.",
            "s",
            promql("max by (what) (telestream_database_backlog_age_seconds)", "{{what}}"),
        ),
        series(
            "What fails",
            "Expectations of data that fail, tasks of analytics that are overdue, looks at the database that failed.",
            "short",
            promql("sum(telestream_database_incidents_open)", "expectations"),
            promql("sum(telestream_database_task_overdue)", "tasks"),
            promql("1 - min(telestream_database_up)", "looks"),
            thresholds=limits(1, 5),
        ),
        series(
            "Size",
            "Bytes of the database on disk.",
            "bytes",
            promql("max(telestream_database_size_bytes)", "database"),
        ),
        listing(
            "Freshness",
            "How far each dataset has come, and buckets of rollups that wait for a refresh.",
            rows(
                "SELECT f.dataset, f.newest_event_at, f.last_loaded_at, f.pending_buckets"
                " FROM ops.freshness AS f ORDER BY f.dataset"
            ),
            units={"pending_buckets": "short"},
        ),
        listing(
            "Tasks of analytics",
            "The last run of each task, and whether none ended well for a day and an hour.",
            rows(
                "SELECT t.task, t.status, t.is_overdue, t.started_at, t.seconds, t.result"
                " FROM analytics.task_status AS t WHERE t.is_enabled ORDER BY t.is_overdue DESC, t.position"
            ),
            units={"seconds": "s"},
        ),
    )
