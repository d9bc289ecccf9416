-- requires: rollup/_kept_from.sql
-- Recomputes closed buckets of every rollup from its source and returns each row that differs: what
-- is stored and should not be, and what should be stored and is not. No rows: Gold equals Silver.
-- Buckets with marks in rollup.pending are not closed; call rollup.refresh_pending() first. Buckets before
-- the horizon are final: their facts may have left Silver, and only rollups on rollups can be compared.
CREATE OR REPLACE FUNCTION gold.check_rollups(
    p_from timestamptz DEFAULT '2000-01-01 00:00:00+00', p_to timestamptz DEFAULT '2100-01-01 00:00:00+00'
)
RETURNS TABLE (rollup_name text, bucket timestamptz, problem text, stored jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_def record;
    v_again text;
BEGIN
    FOR v_def IN SELECT d.* FROM rollup.definition AS d ORDER BY d.position LOOP
        v_again := format(
            'SELECT n.* FROM (%s) AS n WHERE n.bucket >= $1 AND n.bucket < $2',
            -- A bucket is at most a day of 25 hours.
            replace(v_def.select_sql, 'WHERE true', format(
                'WHERE %I >= $1 - interval ''2 days'' AND %1$I < $2 + interval ''2 days''', v_def.time_column
            ))
        );
        RETURN QUERY EXECUTE format(
            'WITH stored AS MATERIALIZED ('
            'SELECT v.* FROM rollup.%I AS v WHERE v.bucket >= $1 AND v.bucket < $2), '
            'again AS MATERIALIZED (%s), '
            'difference AS ('
            '(SELECT ''not in Silver'' AS problem, to_jsonb(e.*) AS row_ '
            'FROM (TABLE stored EXCEPT ALL TABLE again) AS e) '
            'UNION ALL '
            '(SELECT ''missing in Gold'', to_jsonb(e.*) FROM (TABLE again EXCEPT ALL TABLE stored) AS e)) '
            'SELECT $3, (d.row_ ->> ''bucket'')::timestamptz, d.problem, d.row_ FROM difference AS d '
            'WHERE NOT EXISTS (SELECT FROM rollup.pending AS p '
            'WHERE p.rollup_name = $3 AND p.bucket = (d.row_ ->> ''bucket'')::timestamptz)',
            v_def.rollup_name, v_again
        ) USING
            CASE
                WHEN v_def.source LIKE 'silver.%' THEN greatest(p_from, rollup._kept_from(v_def.rollup_name))
                ELSE p_from
            END, p_to, v_def.rollup_name;
    END LOOP;
END
$$;
COMMENT ON FUNCTION gold.check_rollups(timestamptz, timestamptz) IS
'Every row in which a rollup differs from the same aggregate over its source; none: Gold equals Silver';
REVOKE ALL ON FUNCTION gold.check_rollups(timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gold.check_rollups(timestamptz, timestamptz)
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst;
