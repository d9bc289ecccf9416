"""The server configuration fits the machine."""

from __future__ import annotations

import pytest

from telestream.stack import config, ports


def _value(text: str, name: str) -> str:
    return next(line.split(" = ")[1] for line in text.splitlines() if line.startswith(f"{name} = "))


@pytest.mark.parametrize(
    ("gigabytes", "shared", "effective", "maintenance"),
    [
        (0.25, "128MB", "256MB", "64MB"),
        (4, "1024MB", "3072MB", "256MB"),
        (24, "4096MB", "18432MB", "1024MB"),
        (256, "4096MB", "196608MB", "1024MB"),
    ],
)
def test_memory_follows_the_machine(gigabytes: float, shared: str, effective: str, maintenance: str) -> None:
    text = config.server_settings(5432, int(gigabytes * (1 << 30)), 2)
    assert _value(text, "shared_buffers") == shared
    assert _value(text, "effective_cache_size") == effective
    assert _value(text, "maintenance_work_mem") == maintenance


def test_workers_follow_the_cores() -> None:
    text = config.server_settings(5432, 8 << 30, 8)
    assert _value(text, "max_parallel_workers") == "8"
    assert _value(text, "max_parallel_workers_per_gather") == "4"
    assert int(_value(text, "max_worker_processes")) > 8
    assert _value(config.server_settings(5432, 8 << 30, 1), "max_parallel_workers_per_gather") == "1"


def test_durability_is_never_traded_for_speed() -> None:
    text = config.server_settings(5432, 8 << 30, 2)
    assert _value(text, "fsync") == "on"
    assert _value(text, "synchronous_commit") == "on"


def test_ports_below_the_range_of_outgoing_connections() -> None:
    assert 20000 <= ports.choose() < 32000
