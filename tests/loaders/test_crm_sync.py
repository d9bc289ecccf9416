"""`telestream crm sync` against a CRM that is slow, broken, wrong or killed in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import psycopg
import pytest
from command import assert_clear_error, kill_when, start, telestream
from crm_server import TOKEN, CrmServer, crm_server
from staging import cdr, refine

from telestream.db import rollups
from telestream.errors import TelestreamError, TerminalError, TransientError
from telestream.loaders.crm import sync
from telestream.loaders.crm_client import CrmClient

START = datetime(2026, 1, 1, tzinfo=UTC)
_SYNC = """
import sys
from telestream.loaders.crm import sync
from telestream.loaders.crm_client import CrmClient
sync(CrmClient(sys.argv[1], sys.argv[2]), page_size=10)
"""


def customer(number: int, minute: int = 0, **changes: Any) -> dict[str, Any]:
    moment = (START + timedelta(minutes=minute)).isoformat()
    return {
        "customer_id": f"C{number}", "changed_at": moment, "updated_at": moment, "msisdn": f"+44790000{number:04d}",
        "plan_code": "basic", "segment": "consumer", "status": "active", "birth_year": 1980, "name": "Ada Example",
    } | changes  # fmt: skip


@pytest.fixture
def crm() -> Iterator[CrmServer]:
    with crm_server() as server:
        server.customers = [customer(number, number) for number in range(35)]
        yield server


@pytest.fixture
def plans(connection: psycopg.Connection) -> psycopg.Connection:
    connection.execute("SET ROLE telestream_owner")
    connection.execute("INSERT INTO silver.dim_service_plan (plan_code, name) VALUES ('basic', 'b'), ('plus', 'p')")
    connection.execute("RESET ROLE")
    return connection


class Waits(list[float]):
    """The seconds that a client was made to wait, not waited for."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def client(crm: CrmServer, waits: Waits | None = None) -> CrmClient:
    return CrmClient(crm.url, TOKEN, sleep=waits if waits is not None else Waits())


def versions(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT d.customer_id, d.valid_from, d.next_from, p.plan_code FROM silver.dim_customer AS d"
        " INNER JOIN silver.dim_service_plan AS p USING (plan_key) WHERE d.customer_key <> 0 ORDER BY 1, 2"
    ).fetchall()


def test_all_pages_then_only_what_changed_with_an_overlap(plans: psycopg.Connection, crm: CrmServer) -> None:
    first = sync(client(crm), page_size=10)
    assert (first.pages, first.counts.rows_in, first.counts.loaded) == (4, 35, 35)
    assert first.watermark == START + timedelta(minutes=34)
    assert "updated_since" not in crm.asked[0]
    # One that the CRM committed late, a moment before what was read last, and one of today.
    crm.customers += [customer(98, 33), customer(3, 60, plan_code="plus")]
    crm.asked.clear()
    second = sync(client(crm), page_size=10)
    assert crm.asked[0]["updated_since"] == "2026-01-01T00:29:00Z"
    assert (second.counts.loaded, second.counts.duplicate) == (2, 6)
    assert second.watermark == START + timedelta(minutes=60)
    assert len(versions(plans)) == 37
    third = sync(client(crm), page_size=10)
    assert (third.counts.loaded, third.counts.duplicate, third.watermark) == (0, 1, second.watermark)
    assert len(versions(plans)) == 37
    assert plans.execute("SELECT DISTINCT source_kind FROM ops.batch").fetchall() == [("api",)]


def test_a_change_of_the_past_updated_today_is_asked_for_by_its_update(
    plans: psycopg.Connection, crm: CrmServer
) -> None:
    sync(client(crm))
    crm.customers.append(customer(3, 1, updated_at="2026-01-02T00:00:00+00:00", plan_code="plus"))
    result = sync(client(crm))
    assert (result.counts.loaded, result.watermark) == (1, datetime(2026, 1, 2, tzinfo=UTC))
    assert [plan for name, *_, plan in versions(plans) if name == "C3"] == ["plus", "basic"]


def test_429_waits_as_told_and_5xx_backs_off(plans: psycopg.Connection, crm: CrmServer) -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    crm.failures = [(429, {"Retry-After": "7"}), None, (500, {}), (503, {}), (429, {"Retry-After": in_a_minute})]
    waits = Waits()
    result = sync(client(crm, waits), page_size=10)
    assert result.counts.loaded == 35
    assert waits[:3] == [7.0, 0.5, 1.0]
    assert 50 < waits[3] <= 60
    assert len(versions(plans)) == 35


def test_a_failure_in_the_middle_keeps_pages_and_goes_on_after_them(plans: psycopg.Connection, crm: CrmServer) -> None:
    crm.failures = [None, None, *[(500, {})] * 5]
    with pytest.raises(TransientError) as caught:
        sync(client(crm), page_size=10)
    assert "pages that were committed are kept" in (caught.value.hint or "")
    assert len(versions(plans)) == 20
    assert plans.execute("SELECT event_at FROM ops.watermark").fetchall() == [(None,)]
    crm.asked.clear()
    result = sync(client(crm), page_size=10)
    assert [fields["cursor"] for fields in crm.asked] == ["1-20", "1-30"]
    assert result.resumed
    assert (result.counts.loaded, result.counts.duplicate) == (15, 0)
    assert result.watermark == START + timedelta(minutes=34)
    assert len(versions(plans)) == 35


def test_a_cursor_that_expired_meanwhile_begins_again(plans: psycopg.Connection, crm: CrmServer) -> None:
    crm.failures = [None, *[(502, {})] * 5]
    with pytest.raises(TransientError):
        sync(client(crm), page_size=10)
    crm.generation = 2
    result = sync(client(crm), page_size=10)
    assert (result.counts.loaded, result.counts.duplicate) == (25, 10)
    assert len(versions(plans)) == 35


def test_a_busy_crm_that_asks_for_hours_is_not_waited_for(plans: psycopg.Connection, crm: CrmServer) -> None:
    crm.failures = [(429, {"Retry-After": "7200"})]
    with pytest.raises(TransientError) as caught:
        sync(client(crm))
    assert "7200 s" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"<html>login</html>", TerminalError, "no JSON"),
        (b'{"items": []}', TerminalError, "lacks a field"),
        (b'{"customers": []}', TerminalError, "lacks a field"),
        (b'{"customers": {}, "next_cursor": null}', TerminalError, "lacks a field"),
        (b'{"customers": [], "next_cursor": 7}', TerminalError, "lacks a field"),
        (b"[]", TerminalError, "lacks a field"),
        ((302, {"Location": "http://127.0.0.1:1/"}), TerminalError, "refused the request"),
        ((404, {}), TerminalError, "refused the request"),
        ((403, {}), TerminalError, "refused the token"),
    ],
)
def test_answers_that_are_no_pages(
    plans: psycopg.Connection, crm: CrmServer, answer: Any, error: type[TelestreamError], words: str
) -> None:
    crm.failures = [answer]
    with pytest.raises(error, match=words) as caught:
        sync(client(crm))
    assert TOKEN not in f"{caught.value} {caught.value.detail} {caught.value.hint}"
    assert plans.execute("SELECT count(*) FROM ops.batch").fetchone() == (0,)


def test_records_that_cannot_be_read_go_to_quarantine_and_are_not_repeated(
    plans: psycopg.Connection, crm: CrmServer
) -> None:
    crm.customers = [customer(1), customer(2, msisdn="790"), customer(3, plan_code="lost"), customer(4, birth_year="x")]
    result = sync(client(crm))
    assert (result.counts.rows_in, result.counts.loaded, result.counts.quarantined) == (4, 1, 3)
    rows = plans.execute("SELECT rules[1], raw FROM quality.quarantine ORDER BY line").fetchall()
    assert [rule for rule, _ in rows] == ["msisdn_not_e164", "unknown_plan", "unparsable_value"]
    assert not any("Ada" in raw for _, raw in rows)
    again = sync(client(crm))
    assert (again.counts.rows_in, again.counts.duplicate, again.counts.quarantined) == (4, 3, 1)


def test_kill_9_in_the_middle_then_the_same_command(plans: psycopg.Connection, crm: CrmServer, database: str) -> None:
    refine(plans, [cdr(caller="+447900000005", plan_code=None)])
    crm.stall_after = 2
    killed = kill_when(start(_SYNC, crm.url, TOKEN), lambda: len(versions(plans)) == 20 and len(crm.asked) == 2)
    assert killed
    crm.stall_after = None
    result = telestream("crm", "sync", "--url", crm.url, "--page-size", "10", TELESTREAM_CRM_TOKEN=TOKEN)
    assert result.returncode == 0, result.stderr
    assert "resumed" in result.stdout
    assert len(versions(plans)) == 35
    assert plans.execute("SELECT plan_code, customer_key <> 0 FROM gold.cdr").fetchall() == [("basic", True)]
    assert rollups.check(database) == []


def test_of_two_syncs_at_once_one_says_so(plans: psycopg.Connection, crm: CrmServer) -> None:
    crm.stall_after = 1
    other = start(_SYNC, crm.url, TOKEN)
    try:
        while len(versions(plans)) < 10:
            assert other.poll() is None
        result = telestream("crm", "sync", "--url", crm.url, TELESTREAM_CRM_TOKEN=TOKEN)
        assert result.returncode == 75
        assert_clear_error(result, "another sync of crm is running")
    finally:
        other.kill()
        other.wait()
    crm.stall_after = None
    assert sync(client(crm), page_size=10).counts.loaded == 25


def test_a_wrong_token_and_a_wrong_url(database: str, crm: CrmServer) -> None:
    result = telestream("crm", "sync", "--url", crm.url, TELESTREAM_CRM_TOKEN="wrong")
    assert_clear_error(result, "the CRM refused the token", "answers 401", "TELESTREAM_CRM_TOKEN")
    assert result.returncode == 1
    result = telestream("crm", "sync")
    assert_clear_error(result, "the URL of the CRM cannot be used", "TELESTREAM_CRM_URL")
    assert result.returncode == 2
