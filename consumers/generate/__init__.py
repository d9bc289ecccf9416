"""Generates streams of network events with a known truth, for the demo, benchmarks and tests."""

from telestream.consumers.generate.encode import encode_events, message_keys
from telestream.consumers.generate.events import EVENT_SCHEMA, batches
from telestream.consumers.generate.manifest import Manifest, Tally
from telestream.consumers.generate.network import cell_ids
from telestream.consumers.generate.spec import AnomalyKind, BadKind, NetworkSpec, Planted

__all__ = [
    "EVENT_SCHEMA",
    "AnomalyKind",
    "BadKind",
    "Manifest",
    "NetworkSpec",
    "Planted",
    "Tally",
    "batches",
    "cell_ids",
    "encode_events",
    "message_keys",
]
