"""Cells by place: within a distance, of a region and what lies in it, and where there are none."""

from __future__ import annotations

import psycopg
import pytest


@pytest.fixture
def cells(connection: psycopg.Connection) -> psycopg.Connection:
    connection.execute("SET ROLE telestream_owner")
    connection.execute(
        "INSERT INTO silver.dim_region (region_key, region_code, name, parent_key) VALUES"
        " (1, 'GB', 'Britain', NULL), (2, 'GB-LND', 'London', 1), (3, 'GB-LND-W', 'West', 2), (4, 'FJ', 'Fiji', NULL)"
    )
    # Four corners of a square of half a degree, and none in its middle.
    connection.execute(
        "INSERT INTO silver.dim_network_cell (cell_id, name, technology, latitude, longitude, region_key) VALUES"
        " ('sw', 'x', '4g', 51.0, 0.0, 1), ('se', 'x', '4g', 51.0, 0.5, 2),"
        " ('nw', 'x', '5g', 51.5, 0.0, 3), ('ne', 'x', '4g', 51.5, 0.5, 3),"
        " ('west', 'x', '4g', -17.0, -179.95, 4), ('east', 'x', '4g', -17.0, 179.95, 4),"
        " ('pole', 'x', '4g', 89.99, 0, 0), ('nowhere', 'x', '4g', NULL, NULL, 1)"
    )
    return connection


def near(connection: psycopg.Connection, *arguments: float) -> list[tuple[str, float]]:
    return connection.execute(
        "SELECT cell_id, round(distance_km::numeric, 1)::float8 FROM gold.cells_near(%s, %s, %s)", arguments
    ).fetchall()


def test_cells_near_a_point_the_nearest_first(cells: psycopg.Connection) -> None:
    assert near(cells, 51.0, 0.01, 40) == [("sw", 0.7), ("se", 34.3)]
    assert near(cells, 51.0, 0.01, 34) == [("sw", 0.7)]
    assert near(cells, 0, 0, 100) == []
    # Neither the 180th meridian nor a pole is an edge.
    assert near(cells, -17.0, 180, 10) == [("east", 5.3), ("west", 5.3)]
    assert near(cells, 89.99, 180, 10) == [("pole", 2.2)]
    assert len(near(cells, 51, 0, 30_000)) == 7


def test_the_index_of_places_is_used(cells: psycopg.Connection) -> None:
    cells.execute(
        "INSERT INTO silver.dim_network_cell (cell_id, name, latitude, longitude)"
        " SELECT 'f' || n, 'x', 40 + n % 100 / 10.0, n / 100.0 FROM generate_series(1, 3000) AS n"
    )
    cells.execute("ANALYZE silver.dim_network_cell")
    body = cells.execute("SELECT prosrc FROM pg_proc WHERE oid = 'gold.cells_near'::regproc").fetchone()
    assert body is not None
    query = body[0].replace("p_latitude", "45.0").replace("p_longitude", "10.0").replace("p_radius_km", "20.0")
    plan = str(cells.execute(f"EXPLAIN {query}").fetchall())
    assert "dim_network_cell_earth" in plan
    assert "Seq Scan" not in plan
    [source] = cells.execute("SELECT prosrc FROM pg_proc WHERE oid = 'gold.coverage_gap'::regproc").fetchone() or ("",)
    assert "OPERATOR (public.<->)" in source
    nearest = str(
        cells.execute(
            "EXPLAIN SELECT c.cell_id FROM silver.dim_network_cell AS c"
            " WHERE c.latitude IS NOT NULL AND c.longitude IS NOT NULL"
            " ORDER BY public.ll_to_earth(c.latitude, c.longitude) <-> public.ll_to_earth(51, 0) LIMIT 1"
        ).fetchall()
    )
    assert "dim_network_cell_earth" in nearest


def test_a_region_holds_the_cells_of_the_regions_in_it(cells: psycopg.Connection) -> None:
    def of(region: str) -> list[tuple[str, str]]:
        return cells.execute("SELECT cell_id, region_code FROM gold.cells_of_region(%s)", (region,)).fetchall()

    assert [cell for cell, _ in of("GB")] == ["ne", "nowhere", "nw", "se", "sw"]
    assert of("GB-LND") == [("ne", "GB-LND-W"), ("nw", "GB-LND-W"), ("se", "GB-LND")]
    assert of("none") == []
    # A circle in the hierarchy ends.
    cells.execute("UPDATE silver.dim_region SET parent_key = 3 WHERE region_key = 1")
    assert len(of("GB")) == 5


def test_gaps_in_the_coverage(cells: psycopg.Connection) -> None:
    def gaps(*arguments: object) -> list[tuple[float, float, str | None, float | None]]:
        holes = ", ".join(["%s"] * len(arguments))
        return cells.execute(f"SELECT * FROM gold.coverage_gap({holes})", arguments).fetchall()

    # Half the diagonal of the square is 33 km.
    found = gaps("GB", 30, 2)
    assert found
    assert found[0][3] == pytest.approx(32.5, abs=1.5)
    assert found[0][:2] == (pytest.approx(51.25, abs=0.05), pytest.approx(0.25, abs=0.05))
    assert all(distance is not None and distance > 30 for *_, distance in found)
    assert gaps("GB", 34, 2) == []
    # One 5G cell in the north-west: the far corner has none within 60 km.
    far = gaps("GB", 60, 2, "5g")
    assert far
    assert {cell for *_, cell, _ in far} == {"nw"}
    # Fewer than three cells, an unknown region: no area.
    assert gaps("FJ", 1, 10) == gaps("none", 1, 10) == gaps("GB-LND-W", 1, 1) == []
    # A cell without load in the weeks of the fingerprints does not cover.
    cells.execute("INSERT INTO analytics.week VALUES ('2026-03-02', array_fill(1, ARRAY[168])::real[]::vector, 168)")
    cells.execute(
        "INSERT INTO analytics.cell_week SELECT '2026-03-02', cell_key, array_fill(1, ARRAY[168])::real[]::vector, 168,"
        " 0, 0, 0, 0, 0, 0, 0, 0 FROM silver.dim_network_cell WHERE cell_id = 'sw'"
    )
    assert {cell for *_, cell, _ in gaps("GB", 34, 2)} == {"sw"}
    for wrong in ((0, 2), (5, 0), (None, 2), (5, 0.01), (5, 1e-300)):
        with pytest.raises(psycopg.Error) as caught:
            gaps("GB", *wrong)
        assert caught.value.sqlstate == "TS045"
