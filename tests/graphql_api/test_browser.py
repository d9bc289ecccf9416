"""The explorer and the operations page in a headless Chromium that reaches nothing but the service."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from graphql_api.fix_api import Api
from graphql_api.fix_browser import Visit, watched
from playwright.sync_api import Browser, Page, WebSocketRoute, expect
from staging import cdr, event, refine, refine_events

from telestream import channels
from telestream.graphql.principal import Scope

OPEN_WINDOW = {
    "bucket": "2026-03-01T10:15:00Z", "events": 4321, "drops": 7, "handover_failures": 0, "latency_ms_mean": "12.5",
    "rsrp_dbm_mean": "-91.25", "throughput_down_kbps_mean": "36500",
}  # fmt: skip


@pytest.fixture
def visit(browser: Browser, api: Api) -> Iterator[Visit]:
    """A page of the service; at the end, nothing else was asked for anything and the key was in no address."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    made = watched(context, api.base)
    yield made
    context.close()
    assert made.strangers == []
    assert made.requests
    assert [url for url in made.requests if api.key() in url or "key=" in url] == []


@pytest.fixture
def loaded(connection: psycopg.Connection) -> psycopg.Connection:
    """Two cells with places, a day of CDRs, twenty minutes of network events, and one anomaly."""
    connection.execute("INSERT INTO silver.dim_region (region_code, name) VALUES ('GB-LND', 'London')")
    connection.execute(
        "INSERT INTO silver.dim_network_cell (cell_id, name, technology, latitude, longitude, region_key)"
        " SELECT v.cell_id, v.name, '4g', v.latitude, v.longitude, r.region_key FROM silver.dim_region AS r,"
        " (VALUES ('234-15-0', 'Borough', 51.50, -0.09), ('234-15-1', 'Camden', 51.54, -0.14))"
        " AS v (cell_id, name, latitude, longitude) WHERE r.region_code = 'GB-LND'"
    )
    refine(
        connection,
        [
            cdr(native_key=f"k{n}", started_at=f"2026-03-01T{n:02d}:15:00Z", answered_at=None, ended_at=None,
                cell_id=f"234-15-{n % 2}", disposition="answered" if n % 4 else "failed")
            for n in range(24)
        ],
    )  # fmt: skip
    refine_events(
        connection,
        [
            event(event_id=f"e{n}", event_at=f"2026-03-01T10:{n:02d}:00Z", cell_id=f"234-15-{n % 2}",
                  latency_ms=10 + n + 100 * (n % 2))
            for n in range(20)
        ],
    )  # fmt: skip
    connection.execute("CALL rollup.refresh_pending()")
    raise_anomaly(connection, "234-15-1", datetime(2026, 3, 1, 10, 5, tzinfo=UTC))
    return connection


def raise_anomaly(connection: psycopg.Connection, cell: str, at: datetime, kpi: str = "latency_ms") -> str:
    """Add an anomaly, and return its id."""
    row = connection.execute(
        "INSERT INTO analytics.anomaly (cell_key, kpi, direction, severity, started_at, peak_at, peak_value, peak_z,"
        " seen_to, median, mad, query, from_at, to_at)"
        " SELECT c.cell_key, %(kpi)s, 'high', 'major', %(at)s, %(at)s, 120, 9, %(at)s, 20, 1, '',"
        " %(at)s - interval '2 hours', %(at)s + interval '30 minutes'"
        " FROM silver.dim_network_cell AS c WHERE c.cell_id = %(cell)s RETURNING anomaly_id",
        {"at": at, "cell": cell, "kpi": kpi},
    ).fetchone()
    assert row is not None
    return str(row[0])


def notice(anomaly: str, **changes: Any) -> dict[str, Any]:
    """Return an alert as consumers publish it."""
    made = {
        "alert_id": str(uuid.uuid4()), "anomaly_id": int(anomaly), "status": "opened", "severity": "critical",
        "kpi": "latency_ms", "cell_id": "234-15-0", "technology": "4g", "started_at": "2026-03-01T10:10:00+00:00",
        "ended_at": None, "value": 250.0, "baseline": 20.0, "z_score": 9.0, "message": "slow as never before",
        "query": "SELECT 1", "raised_at": "2026-03-01T10:15:00+00:00",
    }  # fmt: skip
    return made | changes


def keep(connection: psycopg.Connection, alert: dict[str, Any]) -> None:
    """Put an alert where those are that a subscriber can catch up with."""
    connection.execute(
        "INSERT INTO ops.outbox (alert_id, topic, key, payload) VALUES (%s, 'alerts', '1', %s)",
        (alert["alert_id"], json.dumps(alert)),
    )


def opened(visit: Visit, key: str, path: str = "/") -> Page:
    visit.page.goto(f"{visit.base}{path}#key={key}")
    return visit.page


def on_board(visit: Visit, key: str) -> Page:
    """Open the operations page, and wait until it has drawn and listens."""
    page = opened(visit, key)
    expect(page.locator("#live")).to_have_text("Connected")
    expect(page.locator("#chart canvas")).to_be_visible()
    return page


def asked(page: Page, operation: str, action: Any) -> dict[str, Any]:
    """Return the variables of the next request of an operation that an action causes."""

    def is_it(request: Any) -> bool:
        return f"query {operation}(" in (request.post_data or "")

    with page.expect_request(is_it) as caught:
        action()
    variables: dict[str, Any] = json.loads(caught.value.post_data or "")["variables"]
    return variables


def seconds(variables: dict[str, Any]) -> float:
    start, end = (datetime.fromisoformat(variables[name].replace("Z", "+00:00")) for name in ("from", "to"))
    return (end - start).total_seconds()


def run(page: Page, operation: str) -> None:
    """Run an operation of the example, once the schema is there and the editor knows its operations.

    The documentation shows the first, a button that offers a menu the second.
    """
    documentation = page.locator(".graphiql-doc-explorer")
    if not documentation.is_visible():
        page.get_by_role("button", name="Show Documentation Explorer").click()
    expect(documentation).to_contain_text("Mutation")
    page.locator(".graphiql-execute-button[aria-haspopup=menu]").click()
    page.get_by_role("menuitem", name=operation).click()


def test_the_explorer_runs_a_query(visit: Visit, api: Api, loaded: psycopg.Connection) -> None:
    page = opened(visit, api.key(), "/graphql")
    run(page, "Newest")
    assert page.url == api.url
    answer = page.locator(".graphiql-response")
    expect(answer).to_contain_text('"newestEventAt"')
    expect(answer).to_contain_text("Camden")
    assert visit.complaints == []
    assert any("worker" in url for url in visit.requests), visit.requests


def test_the_explorer_subscribes(visit: Visit, api: Api, loaded: psycopg.Connection, clean_redis: str) -> None:
    page = opened(visit, api.key(), "/graphql")
    run(page, "Alerts")
    expect(page.get_by_role("button", name=re.compile("Stop query"))).to_be_visible()
    answer = page.locator(".graphiql-response")
    with redis.Redis.from_url(clean_redis) as client:
        for _ in range(40):
            client.publish(channels.ALERTS, json.dumps(notice("1")))
            page.wait_for_timeout(250)
            if "slow as never before" in (answer.text_content() or ""):
                break
    expect(answer).to_contain_text("slow as never before")
    assert visit.complaints == []


def test_the_explorer_says_what_to_do_without_a_key(visit: Visit, api: Api) -> None:
    visit.page.goto(api.url)
    expect(visit.page.locator(".graphiql-response")).to_contain_text("a key is needed")
    assert visit.complaints == []


def test_the_page_shows_kpis_a_chart_and_cells(visit: Visit, api: Api, loaded: psycopg.Connection) -> None:
    page = on_board(visit, api.key())
    assert page.url == api.base + "/"
    latency = page.locator('.tile[data-kpi="LATENCY_MS"] .tile-value')
    expect(latency).to_contain_text("87")  # the mean of 125, 26, 127, 28 and 129, of the newest window in Gold
    expect(page.locator("#tiles-state")).to_contain_text("Nothing is live")
    expect(page.locator('.tile[data-kpi="ANOMALIES"]')).to_contain_text("1")
    expect(page.locator("#fresh")).to_contain_text("Radio network up to 2026-03-01 10:19")
    expect(page.locator("#chart")).to_have_attribute("data-points", "12")
    # Something was drawn, in the colour of the line.
    inked = page.locator("#chart canvas").evaluate(
        "canvas => { const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;"
        " let found = 0; for (let i = 0; i < data.length; i += 4)"
        " if (data[i + 3] > 200 && data[i + 2] > data[i] + 80) found += 1; return found; }"
    )
    assert inked > 50
    page.get_by_text("The values as a table").click()
    expect(page.locator("#values-table tbody tr")).to_have_count(12)
    expect(page.locator("#cells tbody tr")).to_have_count(2)
    expect(page.locator("#map circle")).to_have_count(2)
    assert visit.complaints == []


def test_the_choice_of_kpi_and_range_changes_what_is_asked(visit: Visit, api: Api, loaded: psycopg.Connection) -> None:
    page = on_board(visit, api.key())
    day = asked(page, "Performance", lambda: page.get_by_text("Day", exact=True).click())
    assert (day["kpis"], day["to"], seconds(day)) == (["LATENCY_MS"], "2026-03-01T10:20:00.000Z", 86_400)
    week = asked(page, "Performance", lambda: page.get_by_text("Week", exact=True).click())
    assert (week["grain"], seconds(week)) == ("HOUR", 7 * 86_400)
    # Voice goes on for longer than the network events.
    voice = asked(page, "Performance", lambda: page.get_by_label("KPI").select_option("ASR_PCT"))
    assert (voice["kpis"], voice["to"]) == (["ASR_PCT"], "2026-03-01T23:20:00.000Z")
    page.get_by_text("From – to").click()
    expect(page.get_by_label("To", exact=True)).to_have_value("2026-03-01T23:20")
    page.get_by_label("From", exact=True).fill("2026-03-01T06:00")
    page.get_by_label("To", exact=True).fill("2026-03-01T09:00")
    custom = asked(page, "Performance", lambda: page.get_by_role("button", name="Show", exact=True).click())
    assert (custom["from"], custom["to"]) == ("2026-03-01T06:00:00.000Z", "2026-03-01T09:00:00.000Z")
    expect(page.locator("#chart-note")).to_contain_text("2026-03-01 06:00 to 2026-03-01 09:00, one value per 5 minutes")
    split = asked(page, "Performance", lambda: page.get_by_label("Split by").select_option("REGION"))
    assert split["by"] == "REGION"
    page.get_by_label("From", exact=True).fill("2026-03-02T06:00")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".problem")).to_contain_text("the range is empty")
    assert visit.complaints == []


def test_cells_are_sorted_and_chosen_by_keyboard(visit: Visit, api: Api, loaded: psycopg.Connection) -> None:
    page = on_board(visit, api.key())
    names = page.locator("#cells tbody th")
    expect(names).to_have_text(["Camden", "Borough"])  # by latency, the highest first
    page.get_by_role("button", name="Cell", exact=True).focus()
    page.keyboard.press("Enter")
    expect(names).to_have_text(["Borough", "Camden"])
    expect(page.locator("#cells th[aria-sort=ascending]")).to_have_text(re.compile("Cell"))
    page.keyboard.press("Space")
    expect(names).to_have_text(["Camden", "Borough"])
    expect(page.locator("#cells th[aria-sort=descending]")).to_have_text(re.compile("Cell"))
    page.get_by_role("button", name="Borough").focus()
    one = asked(page, "Performance", lambda: page.keyboard.press("Enter"))
    assert one["cells"] == ["234-15-0"]
    expect(page.get_by_role("heading", name="Latency, Borough (ms)")).to_be_visible()
    whole = asked(page, "Performance", lambda: page.get_by_role("button", name="Only Borough").click())
    assert whole["cells"] is None


def test_live_windows_come_by_subscription(
    visit: Visit, api: Api, loaded: psycopg.Connection, clean_redis: str
) -> None:
    with redis.Redis.from_url(clean_redis) as client:
        client.hset(channels.HOT_NETWORK, mapping=OPEN_WINDOW)
        client.hset(channels.hot_cell("234-15-0", "4g"), mapping=OPEN_WINDOW)
        page = on_board(visit, api.key())
        expect(page.locator('.tile[data-kpi="EVENTS"] .tile-value')).to_contain_text("4,321")
        expect(page.locator('.tile[data-kpi="THROUGHPUT_DOWN_KBPS"] .tile-value')).to_contain_text("36.5")
        expect(page.locator("#tiles-state")).to_contain_text("Live: window of 2026-03-01 10:15")
        row = page.locator("#cells tbody tr", has_text="Borough").locator(".live")
        expect(row).to_contain_text("4,321 ev.")
        client.hset(channels.hot_cell("234-15-0", "4g"), "events", 5000)
        client.publish(channels.HOT, "{}")
        expect(row).to_contain_text("5,000 ev.")
    assert visit.complaints == []


def test_an_alert_comes_live_and_is_taken_charge_of(
    visit: Visit, api: Api, loaded: psycopg.Connection, clean_redis: str
) -> None:
    page = on_board(visit, api.key())
    items = page.locator("#alerts .alert")
    expect(items).to_have_count(1)
    expect(items.first).to_contain_text("Camden")
    anomaly = raise_anomaly(loaded, "234-15-0", datetime(2026, 3, 1, 10, 10, tzinfo=UTC))
    alert = notice(anomaly)
    with redis.Redis.from_url(clean_redis) as client:
        client.publish(channels.ALERTS, json.dumps(alert))
        expect(items).to_have_count(2)
        client.publish(channels.ALERTS, json.dumps(alert))  # at least once: the second says nothing new
        mine = page.locator(f'.alert[data-anomaly="{anomaly}"]')
        for text in ("Borough", "critical", "open", "slow as never before"):
            expect(mine).to_contain_text(text)
        assert items.first.get_attribute("data-anomaly") == anomaly
        expect(page.locator("#alerts-news")).to_contain_text("slow as never before")
        mine.get_by_role("button", name=re.compile("Acknowledge")).click()
        page.get_by_label(re.compile("What others should know")).fill("<b>on it</b>")
        page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
        expect(mine).to_contain_text("Acknowledged by key:")
        expect(mine).to_contain_text("<b>on it</b>")
        row = loaded.execute(
            "SELECT acknowledged_by, acknowledge_note FROM analytics.anomaly WHERE anomaly_id = %s", (anomaly,)
        ).fetchone()
        assert row == ("key:" + api.key().split("_")[1], "<b>on it</b>")
        # Its end is told of the same entry.
        client.publish(channels.ALERTS, json.dumps(notice(anomaly, ended_at="2026-03-01T10:25:00+00:00")))
        expect(mine.locator(".state").first).to_have_text("ended")
        expect(items).to_have_count(2)
    assert visit.complaints == []


def test_a_press_on_an_alert_shows_its_cell_and_time(visit: Visit, api: Api, loaded: psycopg.Connection) -> None:
    page = on_board(visit, api.key())
    page.locator("#kpi").select_option("ASR_PCT")
    looked = asked(
        page, "Performance", lambda: page.locator("#alerts").get_by_role("button", name="Camden", exact=True).click()
    )
    assert (looked["cells"], looked["kpis"]) == (["234-15-1"], ["LATENCY_MS"])
    assert (looked["from"], looked["to"]) == ("2026-03-01T08:05:00.000Z", "2026-03-01T10:35:00.000Z")
    assert visit.complaints == []


def test_the_cells_of_a_large_region_come_page_by_page(visit: Visit, api: Api, loaded: psycopg.Connection) -> None:
    loaded.execute(
        "INSERT INTO silver.dim_network_cell (cell_id, name, region_key)"
        " SELECT 'x' || n, 'Extra ' || n, r.region_key FROM generate_series(100, 598) AS n, silver.dim_region AS r"
        " WHERE r.region_code = 'GB-LND'"
    )
    page = on_board(visit, api.key())
    # 501 cells are more than a table should have at once: the regions come first.
    expect(page.get_by_role("heading", name="Regions")).to_be_visible()
    chosen = asked(page, "Cells", lambda: page.locator("#cells").get_by_role("button", name="London").click())
    assert chosen == {"region": "GB-LND", "after": None}
    expect(page.locator("#cells tbody tr")).to_have_count(100)
    page.get_by_role("button", name="Show all 500").click()
    expect(page.locator("#cells tbody tr")).to_have_count(500)
    page.get_by_role("button", name="The next 500 cells").click()
    expect(page.locator("#cells tbody tr")).to_have_count(1)
    page.get_by_role("button", name="The first cells again").click()
    expect(page.locator("#cells tbody tr")).to_have_count(100)


def test_after_a_lost_connection_what_was_missed_comes(
    visit: Visit, api: Api, loaded: psycopg.Connection, clean_redis: str
) -> None:
    sockets: list[WebSocketRoute] = []

    def through(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    visit.page.route_web_socket(re.compile("/graphql$"), through)
    page = on_board(visit, api.key())
    items = page.locator("#alerts .alert")
    expect(items).to_have_count(1)
    first, second = (
        raise_anomaly(loaded, "234-15-0", datetime(2026, 3, 1, 10, minute, tzinfo=UTC), kpi)
        for minute, kpi in ((10, "latency_ms"), (15, "events"))
    )
    with redis.Redis.from_url(clean_redis) as client:
        seen, missed = notice(first), notice(second, message="nobody was there")
        keep(loaded, seen)
        client.publish(channels.ALERTS, json.dumps(seen))
        expect(items).to_have_count(2)
        keep(loaded, missed)  # raised, and its notice lost with the connection
        sockets[-1].close(code=1012, reason="restart")
        expect(items).to_have_count(3)
        expect(items.first).to_contain_text("nobody was there")
        expect(page.locator("#live")).to_have_text("Connected")
    assert len(sockets) == 2


def test_a_wrong_key_is_answered_readably(visit: Visit, api: Api) -> None:
    page = visit.page
    page.goto(visit.base)
    page.get_by_label("API key or token").fill(f"ts_{'0' * 12}_{'a' * 43}")
    page.get_by_role("button", name="Show the network").click()
    problem = page.locator(".problem")
    expect(problem).to_contain_text("UNAUTHENTICATED")
    expect(problem).to_contain_text(re.compile(r"Request id [0-9a-f]{32}"))
    expect(page.get_by_label("API key or token")).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0
    page.get_by_label("API key or token").fill(api.key())
    page.keyboard.press("Enter")
    expect(page.locator("#board")).to_be_visible()
    expect(problem).to_have_count(0)
    # It stays in this tab, through a reload.
    page.reload()
    expect(page.locator("#board")).to_be_visible()
    page.get_by_role("button", name="Use another key").click()
    expect(page.locator("#board")).to_be_hidden()
    assert page.evaluate("sessionStorage.length") == 0


def test_what_a_key_may_not_is_said_and_the_rest_is_shown(visit: Visit, api: Api, loaded: psycopg.Connection) -> None:
    page = on_board(visit, api.key("api", Scope.NETWORK, Scope.QUALITY, Scope.ALERTS))
    mine = page.locator("#alerts .alert")
    mine.get_by_role("button", name=re.compile("Acknowledge")).click()
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".problem")).to_contain_text("FORBIDDEN")
    expect(mine.get_by_role("button", name=re.compile("Acknowledge"))).to_have_count(0)
    visit.page.goto("about:blank")
    page = opened(visit, api.key("api", Scope.NETWORK))
    expect(page.locator("#chart canvas")).to_be_visible()
    expect(page.locator(".problem").first).to_contain_text("FORBIDDEN")
    visit.requests = [url for url in visit.requests if url != "about:blank"]


def test_an_api_that_is_away_is_said_until_it_is_back(visit: Visit, api: Api, loaded: psycopg.Connection) -> None:
    page = on_board(visit, api.key())
    page.route("**/graphql", lambda route: route.abort())
    page.locator("#kpi").select_option("DROPS")
    expect(page.locator(".problem")).to_contain_text("the API does not answer")
    expect(page.locator(".problem")).to_have_count(1)
    page.unroute("**/graphql")
    page.locator("#kpi").select_option("EVENTS")
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    expect(page.locator(".problem")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(browser: Browser, api: Api, loaded: psycopg.Connection, scheme: Any) -> None:
    """4.5 to 1 at least, WCAG AA, of every text against what lies behind it."""
    context = browser.new_context(color_scheme=scheme)
    page = on_board(watched(context, api.base), api.key())
    expect(page.locator("#alerts .alert")).to_have_count(1)
    found = page.evaluate(
        """() => {
        const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
        const parse = text => text.match(/[\\d.]+/g).map(Number);
        const behind = element => {
            for (let at = element; at; at = at.parentElement) {
                const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
                if (a === 1) return [r, g, b];
            }
            return [255, 255, 255];
        };
        return [...document.querySelectorAll("body *")]
            .filter(one => one.checkVisibility() && [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
            .filter(one => getComputedStyle(one).clipPath === "none" && !one.closest("svg, option"))
            .map(one => {
                const pair = [luminance(parse(getComputedStyle(one).color)), luminance(behind(one))].sort((a, b) => b - a);
                return [one.tagName + "." + one.className + ": " + one.textContent.slice(0, 30), (pair[0] + 0.05) / (pair[1] + 0.05)];
            });
        }"""
    )
    assert len(found) > 40
    assert [one for one in found if one[1] < 4.5] == []
    context.close()


def test_every_field_and_button_has_a_name(visit: Visit, api: Api, loaded: psycopg.Connection) -> None:
    page = on_board(visit, api.key())
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea")].filter(one => one.checkVisibility())
        .filter(one => !(one.textContent.trim() || one.ariaLabel || one.labels?.length)).map(one => one.outerHTML)"""
    )
    assert nameless == []
    assert urlsplit(page.url).fragment == ""
