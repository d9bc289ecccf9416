"""The metrics of every part in one list: what each means, and what to do when it moves.

A part makes its metrics from here (`counter`, `gauge`, `histogram`), so one that is not in the list cannot be made;
docs/metrics.md shows it, and the alerts in k8s/prometheus use no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

# A second series per counter and histogram with the time of its creation would double what is scraped.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Metric:
    """One metric: its name without prefix and suffix, its type, and what it means for the one on duty."""

    component: Literal["consumer", "api", "database"]
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    action: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name as scraped: with the prefix, and `_total` for a counter."""
        return f"telestream_{self.component}_{self.name}{'_total' if self.kind == 'counter' else ''}"

    def counter(self, registry: CollectorRegistry) -> Counter:
        """Make the counter."""
        return Counter(self.full_name, self.help, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        """Make the gauge."""
        return Gauge(self.full_name, self.help, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry, buckets: tuple[float, ...]) -> Histogram:
        """Make the histogram."""
        return Histogram(self.full_name, self.help, self.labels, registry=registry, buckets=buckets)


MESSAGES_POLLED = Metric(
    "consumer",
    "messages_polled",
    "counter",
    "Messages taken from the broker",
    "Flat while lag_messages grows: the consumer is paused (paused_partitions), fenced, or waits for the database.",
    ("topic",),
)
ROWS_LOADED = Metric(
    "consumer",
    "rows_loaded",
    "counter",
    "Rows that went into Silver",
    "Falls behind messages_polled: see rows_duplicate, rows_quarantined and dead_letters for where the rest went.",
    ("dataset",),
)
ROWS_DUPLICATE = Metric(
    "consumer",
    "rows_duplicate",
    "counter",
    "Rows that Silver had already",
    "A short rise after a restart of a producer is normal. A lasting one: two producers send the same data.",
    ("dataset",),
)
ROWS_QUARANTINED = Metric(
    "consumer",
    "rows_quarantined",
    "counter",
    "Rows that a rule refused",
    "Look at quality.quarantine_summary: it names the rule. Correct the source, then replay.",
    ("dataset",),
)
ROWS_LATE = Metric(
    "consumer",
    "rows_late",
    "counter",
    "Rows further behind the latest event of their partition than allowed_event_lateness",
    "They are stored and counted. A lasting rise: a source has a wrong clock or sends in bulk.",
    ("dataset",),
)
DEAD_LETTERS = Metric(
    "consumer",
    "dead_letters",
    "counter",
    "Messages that could not be decoded",
    "Look at ops.dead_letter. unknown_schema after a deployment: the producer uses a schema nobody registered.",
    ("topic", "reason"),
)
BATCH_SECONDS = Metric(
    "consumer",
    "batch_seconds",
    "histogram",
    "Seconds that a stage of a batch took",
    "poll high: nothing to read. decode high: too little CPU. stage, refine or commit high: the database is slow.",
    ("stage",),
)
LATENCY = Metric(
    "consumer",
    "commit_latency_seconds",
    "histogram",
    "Seconds from the time stamp that a producer gave a record batch to the commit that shows it in Silver and Gold",
    "p95 above 2 s on a live stream: see lag_messages, then batch_seconds for the slow stage. While catching up it is "
    "the age of what is read.",
    ("topic",),
)
LAG = Metric(
    "consumer",
    "lag_messages",
    "gauge",
    "Messages between the next one to read and the end of the log",
    "Grows steadily: start another consumer, up to one per partition. On one partition only: look at its key.",
    ("topic", "partition"),
)
PAUSED = Metric(
    "consumer",
    "paused_partitions",
    "gauge",
    "Partitions not read now, to let the database catch up",
    "Above 0 for minutes: see which stage in batch_seconds is slow.",
)
FENCED = Metric(
    "consumer",
    "fenced",
    "counter",
    "Partitions found claimed by another consumer",
    "Nothing is lost or read twice. More than one per rebalance: consumers are too slow to poll, or hang.",
)
RECONNECTS = Metric(
    "consumer",
    "reconnects",
    "counter",
    "New connections after one was lost; peer is database or broker",
    "Look at the log of that peer, and at the network between.",
    ("peer",),
)
OUTBOX_PENDING = Metric(
    "consumer",
    "outbox_pending",
    "gauge",
    "Rows that Kafka has not acknowledged; box is alerts or dead_letters",
    "Grows: the broker does not answer or refuses; the log names the cause. Nothing is lost meanwhile.",
    ("box",),
)
ALERTS_PUBLISHED = Metric(
    "consumer",
    "alerts_published",
    "counter",
    "Alerts that Kafka has acknowledged",
    "A burst: many cells are affected at once, see analytics.anomaly.",
)
ALERTS_REFUSED = Metric(
    "consumer",
    "alerts_refused",
    "counter",
    "Alerts that do not fit their schema; they stay in ops.outbox",
    "A defect: report it with the line of the log. They are tried again when the consumer restarts.",
)
DEAD_LETTERS_PUBLISHED = Metric(
    "consumer",
    "dead_letters_published",
    "counter",
    "Dead letters that Kafka has acknowledged",
    "Follows dead_letters. If not, see outbox_pending.",
)
REDIS_FAILURES = Metric(
    "consumer",
    "redis_failures",
    "counter",
    "Writes of hot metrics, and alert notices, that Redis did not take",
    "Start Redis. Hot metrics are written anew with the next batch; a notice is lost, the alert itself is in Kafka.",
)
LAST_COMMIT = Metric(
    "consumer",
    "last_commit_timestamp_seconds",
    "gauge",
    "When the last batch was committed, as Unix time",
    "Older than the source's usual pause while lag_messages is above 0: see the log of the consumer.",
)

# Codes of errors that are the service's making and not the client's: those of HTTP status 5xx in graphql/problems.py.
SERVICE_FAULTS = ("DATABASE_UNAVAILABLE", "INTERNAL", "LIVE_UNAVAILABLE", "OVERLOADED", "QUERY_TIMEOUT")
REQUESTS = Metric(
    "api",
    "requests",
    "counter",
    "Requests by their outcome: ok, or the code of the first error",
    "INTERNAL: a defect, see the log by request id. DATABASE_UNAVAILABLE, QUERY_TIMEOUT, OVERLOADED: see the database. "
    "LIVE_UNAVAILABLE: see the cache. The others are of the clients.",
    ("code",),
)
REQUEST_SECONDS = Metric(
    "api",
    "request_seconds",
    "histogram",
    "Seconds to answer a request",
    "p95 above 0.2: see telestream_api_in_flight and the slow statements of the database (pg_stat_statements).",
)
IN_FLIGHT = Metric(
    "api",
    "in_flight",
    "gauge",
    "Requests being answered",
    "Grows while requests do not: the database is slow, or too few processes serve.",
)
CACHE_HITS = Metric(
    "api",
    "cache_hits",
    "counter",
    "Answers from the cache",
    "Falls against cache_misses: Gold changes often, or see redis_up.",
)
CACHE_MISSES = Metric(
    "api",
    "cache_misses",
    "counter",
    "Answers that had to be computed, of those that may be cached",
    "See cache_hits.",
)
SOCKETS = Metric(
    "api", "sockets", "gauge", "Open WebSockets", "Falls to 0 at once: a proxy cut them; clients come back."
)
SUBSCRIPTIONS = Metric(
    "api",
    "subscriptions",
    "gauge",
    "Running subscriptions",
    "Far above sockets: a client opens the same one again and again.",
)
STATEMENTS = Metric(
    "api",
    "statements",
    "gauge",
    "Statements sent to the database since the start",
    "Rises faster than requests: a query asks for much at once; its cost is in the log.",
)
AUDIT_WAITING = Metric(
    "api",
    "audit_waiting",
    "gauge",
    "Rows that wait to be written to the access log",
    "Grows: the database does not take them. At its limit reads of people are refused.",
)
REDIS_UP = Metric(
    "api",
    "redis_up",
    "gauge",
    "Whether the cache answers",
    "0: start it. Answers are computed meanwhile, and nothing is live.",
)

DATABASE_UP = Metric(
    "database",
    "up",
    "gauge",
    "Whether the last look at the database succeeded",
    "0: see the log of `telestream db metrics`.",
)
NEWEST_EVENT = Metric(
    "database",
    "newest_event_timestamp_seconds",
    "gauge",
    "Latest event time in Silver, as Unix time",
    "Stands still: see last_load_timestamp_seconds; if that moves, the source sends old data.",
    ("dataset",),
)
LAST_LOAD = Metric(
    "database",
    "last_load_timestamp_seconds",
    "gauge",
    "When the last batch was finished, as Unix time",
    "Older than two hours: see whether files come, then the log of the loader or consumer.",
    ("dataset",),
)
QUALITY_SCORE = Metric(
    "database",
    "quality_score",
    "gauge",
    "Share of the rows of the last 24 hours that no rule refused, 0 to 1",
    "Below 0.99: `telestream quality quarantine` names the rule and the source.",
    ("dataset",),
)
BACKLOG = Metric(
    "database",
    "backlog_items",
    "gauge",
    "What waits to be done, by what it is",
    "Grows for an hour: `telestream doctor` says what does that work and why it does not.",
    ("what",),
)
BACKLOG_AGE = Metric(
    "database",
    "backlog_age_seconds",
    "gauge",
    "How long the oldest of what waits has done so",
    "See backlog_items.",
    ("what",),
)
INCIDENTS = Metric(
    "database",
    "incidents_open",
    "gauge",
    "Expectations of a dataset that fail now",
    "Above 0: `telestream quality check` shows which, with what was seen and expected.",
    ("dataset",),
)
TASK_OVERDUE = Metric(
    "database",
    "task_overdue",
    "gauge",
    "Whether no run of a task of analytics has ended well for a day and an hour",
    "1: `telestream analytics show TASK` has its error.",
    ("task",),
)
SIZE = Metric(
    "database",
    "size_bytes",
    "gauge",
    "Bytes of the database on disk",
    "Grows faster than data comes: `telestream storage show`, then retention and compression.",
)

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))


def of(component: str) -> list[Metric]:
    """Return the metrics of a part."""
    return [metric for metric in METRICS if metric.component == component]


def metrics_table(component: str) -> str:
    """Return the metrics of a part as a Markdown table, as docs/metrics.md has it."""
    rows = ["| metric | type | labels | meaning | when it moves |", "|---|---|---|---|---|"]
    for metric in of(component):
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.full_name}` | {metric.kind} | {labels} | {metric.help} | {metric.action} |")
    return "\n".join(rows) + "\n"
