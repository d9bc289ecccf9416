-- requires: quality/_measure_sql.sql, quality/_built_on.sql
-- Measures an expectation in one bucket, unless that was done since a load last touched it, or the bucket
-- still waits for its refresh: then the next check does it.
CREATE OR REPLACE FUNCTION quality._measure(
    p_rule quality.expectation, p_from timestamptz, p_to timestamptz
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM quality.measurement AS m
        WHERE m.dataset = p_rule.dataset AND m.rule = p_rule.rule AND m.bucket = p_from
    ) OR EXISTS (
        SELECT FROM quality._built_on(p_rule.relation) AS b
        INNER JOIN rollup.pending AS p ON b.rollup_name = p.rollup_name
        WHERE p.bucket >= p_from AND p.bucket < p_to
    ) THEN
        RETURN;
    END IF;
    EXECUTE format(
        'INSERT INTO quality.measurement (dataset, rule, bucket, bucket_end, subject, value, support, parts) '
        'SELECT $3, $4, $1, $2, m.* FROM (%s) AS m', quality._measure_sql(p_rule)
    ) USING p_from, p_to, p_rule.dataset, p_rule.rule;
END
$$;
COMMENT ON FUNCTION quality._measure(quality.expectation, timestamptz, timestamptz) IS
'Measures an expectation in one bucket';
REVOKE ALL ON FUNCTION quality._measure(quality.expectation, timestamptz, timestamptz) FROM PUBLIC;
