-- Returns the value and support of every enabled KPI in the 5-minute windows of [p_from, p_to), per cell over
-- all technologies. p_hours, where given, limits it to windows that begin within an hour of one of them.
CREATE OR REPLACE FUNCTION analytics._values(
    p_from timestamptz, p_to timestamptz, p_hours timestamptz[] DEFAULT NULL
)
RETURNS TABLE (
    bucket timestamptz, cell_key integer, kpi text, value double precision, support double precision
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_kpis text;
    v_sums text;
BEGIN
    SELECT string_agg(
        format('(%L, (%s)::double precision, (%s)::double precision)', k.kpi, k.expression, k.support), ', '
        ORDER BY k.kpi
    ) INTO v_kpis
    FROM analytics.kpi AS k
    WHERE k.is_enabled;
    SELECT string_agg(
        format(
            '%s(v.%I) AS %2$I',
            CASE WHEN a.attname LIKE '%\_min' THEN 'min' WHEN a.attname LIKE '%\_max' THEN 'max' ELSE 'sum' END,
            a.attname
        ), ', '
    ) INTO v_sums
    FROM pg_attribute AS a
    WHERE a.attrelid = 'rollup.network_5m'::regclass AND a.attnum > 3 AND NOT a.attisdropped;
    RETURN QUERY EXECUTE format(
        'SELECT w.bucket, w.cell_key, k.kpi, k.value, k.support '
        'FROM (SELECT v.bucket, v.cell_key, %s FROM %s AS h (lo, hi) '
        'INNER JOIN rollup.network_5m AS v ON v.bucket >= h.lo AND v.bucket < h.hi '
        'WHERE v.bucket >= $1 AND v.bucket < $2 AND v.cell_key <> 0 GROUP BY v.bucket, v.cell_key) AS w '
        'CROSS JOIN LATERAL (VALUES %s) AS k (kpi, value, support) WHERE k.value IS NOT NULL',
        v_sums,
        CASE
            WHEN p_hours IS NULL THEN '(VALUES ($1, $2))'
            ELSE '(SELECT u.hour, u.hour + interval ''1 hour'' FROM unnest($3) AS u (hour))'
        END,
        v_kpis
    ) USING p_from, p_to, p_hours;
END
$$;
COMMENT ON FUNCTION analytics._values(timestamptz, timestamptz, timestamptz[]) IS
'Value and support of every KPI in every cell and 5-minute window';
REVOKE ALL ON FUNCTION analytics._values(timestamptz, timestamptz, timestamptz[]) FROM PUBLIC;
