"""The Kafka topics of the product, and how they are made."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient, NewTopic

from telestream.errors import TransientError

NETWORK_EVENTS = "network-events"
CDRS = "cdr"
ALERTS = "alerts"
DEAD_LETTERS = "dead-letters"

_LARGEST_MESSAGE = str(8 << 20)
_DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class TopicSpec:
    """A topic: its name, number of partitions, what it is for, and settings that differ from the broker's."""

    name: str
    partitions: int
    purpose: str
    config: Mapping[str, str] = field(default_factory=dict)


TOPICS = (
    TopicSpec(
        NETWORK_EVENTS, 8, "network events, key = cell",
        {"retention.ms": str(3 * _DAY_MS), "max.message.bytes": _LARGEST_MESSAGE},
    ),
    TopicSpec(
        CDRS, 4, "CDRs, key = any",
        {"retention.ms": str(7 * _DAY_MS), "max.message.bytes": _LARGEST_MESSAGE},
    ),
    TopicSpec(ALERTS, 1, "alerts, key = anomaly", {"retention.ms": str(30 * _DAY_MS)}),
    TopicSpec(
        DEAD_LETTERS, 1, "messages that could not be decoded",
        {"retention.ms": str(30 * _DAY_MS), "max.message.bytes": _LARGEST_MESSAGE},
    ),
)  # fmt: skip


@dataclass(frozen=True)
class TopicState:
    """A topic as it is after `create_topics`: how many partitions it has, and whether it was made just now."""

    spec: TopicSpec
    partitions: int
    created: bool


def create_topics(options: Mapping[str, Any]) -> list[TopicState]:
    """Create the topics that do not exist yet; one that exists is left as it is.

    Args:
        options: what every Kafka client takes, see `kafka_options()`.

    Raises:
        TransientError: the broker does not answer.
    """
    try:
        with contextlib.closing(KafkaAdminClient(**options)) as admin:
            return [_create(admin, spec) for spec in TOPICS]
    except kafka_errors.KafkaError as exc:
        raise TransientError(
            "the broker does not make the topics",
            detail=f"{options.get('bootstrap_servers')}: {type(exc).__name__}.",
            hint="Start it (`telestream stack up` for the embedded one) or correct TELESTREAM_KAFKA_BOOTSTRAP.",
        ) from exc


def _create(admin: KafkaAdminClient, spec: TopicSpec) -> TopicState:
    # Replication as the cluster has it by default.
    wanted = NewTopic(spec.name, spec.partitions, -1, topic_configs=dict(spec.config))
    created = True
    try:
        admin.create_topics([wanted])
    except kafka_errors.TopicAlreadyExistsError:
        created = False
    except kafka_errors.InvalidReplicationFactorError:  # a broker without a default
        admin.create_topics([NewTopic(spec.name, spec.partitions, 1, topic_configs=dict(spec.config))])
    found = [] if created else admin.describe_topics([spec.name])
    return TopicState(spec, len(found[0]["partitions"]) if found else spec.partitions, created)
