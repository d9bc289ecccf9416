-- Counts a day of a fact (UTC) and adds up the first 60 bits of the MD5 of each row, over the columns of
-- ops.archive_column. Another engine computes the same over the archive: times are microseconds since 1970,
-- reals are scaled by a power of two, which is exact in any engine, all else is its text.
CREATE OR REPLACE FUNCTION ops.day_checksum(
    p_dataset text, p_day date, OUT o_rows bigint, OUT o_checksum numeric
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET timezone = 'UTC'
AS $$
DECLARE
    v_table regclass := ('silver.fact_' || p_dataset)::regclass;
    v_time text;
    v_fields text;
BEGIN
    SELECT d.time_column INTO v_time FROM rollup.definition AS d
    WHERE d.source = 'silver.fact_' || p_dataset
    LIMIT 1;
    SELECT string_agg(
        format(
            CASE a.atttypid
                WHEN 'timestamptz'::regtype
                    THEN 'coalesce((extract(EPOCH FROM %1$I) * 1000000)::bigint::text, chr(30))'
                WHEN 'real'::regtype THEN 'coalesce(floor(%1$I::float8 * 1073741824)::bigint::text, chr(30))'
                ELSE 'coalesce(%1$I::text, chr(30))'
            END, a.attname
        ), ', ' ORDER BY c.position
    ) INTO v_fields
    FROM ops.archive_column AS c
    INNER JOIN pg_attribute AS a ON c.name = a.attname AND a.attrelid = v_table
    WHERE c.dataset = p_dataset AND c.left_out_because IS NULL;
    EXECUTE format(
        'SELECT count(*), '
        'coalesce(sum((''x'' || "left"(md5(concat_ws(chr(31), %1$s)), 15))::bit(60)::bigint), 0) '
        'FROM %2$s WHERE %3$I >= $1 AND %3$I < $2', v_fields, v_table, v_time
    ) INTO o_rows, o_checksum USING p_day::timestamptz, (p_day + 1)::timestamptz;
END
$$;
COMMENT ON FUNCTION ops.day_checksum(text, date) IS
'Row count and order-independent checksum of a day of a fact';
REVOKE ALL ON FUNCTION ops.day_checksum(text, date) FROM PUBLIC;
