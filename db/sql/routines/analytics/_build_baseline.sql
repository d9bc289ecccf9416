-- requires: analytics/_values.sql
-- Writes what is normal in one hour: median and median absolute deviation of the same hour of the past weeks,
-- where there are at least 24 such windows (two weeks of an hour); else of the windows of the last two hours,
-- where there are at least 6. Windows within an anomaly do not count as normal.
CREATE OR REPLACE FUNCTION analytics._build_baseline(p_hour timestamptz, p_to timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
DECLARE
    v_weeks integer := (SELECT s.value::integer FROM ops.setting AS s WHERE s.name = 'baseline_weeks');
BEGIN
    INSERT INTO analytics.baseline AS b (hour_at, cell_key, kpi, median, mad, support, windows, is_seasonal)
    WITH seen AS MATERIALIZED (
        SELECT v.*, true AS is_seasonal
        FROM analytics._values(
            p_hour - v_weeks * interval '7 days', p_hour,
            (SELECT array_agg(p_hour - n * interval '7 days') FROM generate_series(1, v_weeks) AS n)
        ) AS v
        UNION ALL
        SELECT v.*, false FROM analytics._values(p_to - interval '2 hours', p_to) AS v
    ),
    normal AS MATERIALIZED (
        SELECT s.* FROM seen AS s
        WHERE NOT EXISTS (
            SELECT FROM analytics.anomaly AS a
            WHERE a.cell_key = s.cell_key AND a.kpi = s.kpi AND s.bucket >= a.started_at
                AND s.bucket < coalesce(a.ended_at, 'infinity')
        )
    ),
    middle AS (
        SELECT
            n.cell_key, n.kpi, n.is_seasonal, count(*) AS windows,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY n.value) AS median,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY n.support) AS support
        FROM normal AS n
        GROUP BY n.cell_key, n.kpi, n.is_seasonal
        HAVING count(*) >= CASE WHEN n.is_seasonal THEN 24 ELSE 6 END
    ),
    chosen AS (
        SELECT DISTINCT ON (m.cell_key, m.kpi) m.*
        FROM middle AS m
        ORDER BY m.cell_key, m.kpi, m.is_seasonal DESC
    )
    SELECT
        p_hour, c.cell_key, c.kpi, c.median,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(n.value - c.median)),
        c.support, c.windows, c.is_seasonal
    FROM chosen AS c
    INNER JOIN normal AS n ON c.cell_key = n.cell_key AND c.kpi = n.kpi AND c.is_seasonal = n.is_seasonal
    GROUP BY c.cell_key, c.kpi, c.median, c.support, c.windows, c.is_seasonal
    ON CONFLICT (hour_at, cell_key, kpi) DO UPDATE
    SET median = excluded.median, mad = excluded.mad, support = excluded.support, windows = excluded.windows,
        is_seasonal = excluded.is_seasonal
    WHERE NOT b.is_seasonal;
END
$$;
COMMENT ON FUNCTION analytics._build_baseline(timestamptz, timestamptz) IS
'Writes what is normal for each cell and KPI in one hour';
REVOKE ALL ON FUNCTION analytics._build_baseline(timestamptz, timestamptz) FROM PUBLIC;
