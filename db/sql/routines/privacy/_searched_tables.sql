-- Returns every table of ours that has a text, and the expression that joins its texts. The access log is
-- not among them: nothing of it may be changed, it holds surrogates and reasons, and a reason that names its
-- person is refused.
CREATE OR REPLACE FUNCTION privacy._searched_tables()
RETURNS TABLE (name text, texts text, has_batch boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        c.oid::regclass::text,
        'concat_ws('' '', ' || string_agg(
            format(CASE WHEN a.atttypid = 'bytea'::regtype THEN 'privacy._bytes_text(t.%I)' ELSE 't.%I' END, a.attname),
            ', ' ORDER BY a.attnum
        ) || ')',
        EXISTS (SELECT FROM pg_attribute AS b WHERE b.attrelid = c.oid AND b.attname = 'batch_id')
    FROM pg_class AS c
    INNER JOIN pg_attribute AS a ON c.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND c.relnamespace::regnamespace::text IN (
            'bronze', 'silver', 'quality', 'ops', 'analytics', 'rollup', 'vault', 'privacy', 'api'
        )
        AND a.atttypid IN (
            'text'::regtype, 'varchar'::regtype, 'jsonb'::regtype, 'json'::regtype, 'text[]'::regtype, 'bytea'::regtype
        )
    GROUP BY c.oid
$$;
COMMENT ON FUNCTION privacy._searched_tables() IS 'Every table that has a text, and its texts';
REVOKE ALL ON FUNCTION privacy._searched_tables() FROM PUBLIC;
