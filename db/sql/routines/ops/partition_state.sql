-- Returns one row per natively partitioned table, and per plain table of records that retention empties,
-- for telestream doctor. Ahead are the partitions that begin after what is written now; of the default
-- partition rows are counted up to 10000, of all else they are estimates.
CREATE OR REPLACE FUNCTION ops.partition_state()
RETURNS TABLE (
    table_name text, partitions bigint, ahead bigint, has_partition_for_now boolean, bytes bigint,
    row_count bigint, default_rows bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET jit = off
AS $$
DECLARE
    v_parent record;
    v_default text;
    v_next bigint := coalesce(
        pg_sequence_last_value(pg_get_serial_sequence('ops.batch', 'batch_id')::regclass), 0
    ) + 1;
BEGIN
    FOR v_parent IN
        SELECT c.oid, n.nspname, c.relname, c.relkind
        FROM pg_class AS c
        INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
        WHERE (c.relkind = 'p' AND n.nspname IN ('bronze', 'audit', 'ops', 'quality') AND NOT c.relispartition)
            OR c.oid IN ('quality.quarantine'::regclass, 'ops.dead_letter'::regclass)
        ORDER BY n.nspname <> 'bronze', n.nspname, c.relname
    LOOP
        table_name := v_parent.nspname || '.' || v_parent.relname;
        IF v_parent.relkind <> 'p' THEN
            SELECT 0, 0, true, pg_total_relation_size(v_parent.oid::regclass), greatest(c.reltuples, 0)::bigint, NULL
            INTO partitions, ahead, has_partition_for_now, bytes, row_count, default_rows
            FROM pg_class AS c
            WHERE c.oid = v_parent.oid;
            RETURN NEXT;
            CONTINUE;
        END IF;
        SELECT
            count(*) FILTER (WHERE NOT p.is_default),
            count(*) FILTER (WHERE p.lo > p.now),
            coalesce(bool_or(p.lo <= p.now AND p.hi > p.now), false),
            coalesce(sum(pg_total_relation_size(p.oid::regclass)), 0)::bigint,
            coalesce(sum(greatest(p.reltuples, 0)), 0)::bigint,
            max(p.relname) FILTER (WHERE p.is_default)
        INTO partitions, ahead, has_partition_for_now, bytes, row_count, v_default
        FROM (
            SELECT
                k.oid, k.relname, k.reltuples, b.bound = 'DEFAULT' AS is_default,
                -- Bounds are batch ids or times: as numbers both compare.
                CASE
                    WHEN m.bounds[1] ~ '^\d+$' THEN m.bounds[1]::numeric
                    ELSE extract(EPOCH FROM m.bounds[1]::timestamptz)
                END AS lo,
                CASE
                    WHEN m.bounds[2] ~ '^\d+$' THEN m.bounds[2]::numeric
                    ELSE extract(EPOCH FROM m.bounds[2]::timestamptz)
                END AS hi,
                CASE WHEN m.bounds[1] ~ '^\d+$' THEN v_next::numeric ELSE extract(EPOCH FROM now()) END AS now
            FROM pg_inherits AS i
            INNER JOIN pg_class AS k ON i.inhrelid = k.oid
            CROSS JOIN LATERAL (SELECT pg_get_expr(k.relpartbound, k.oid) AS bound) AS b
            CROSS JOIN LATERAL (SELECT regexp_match(b.bound, $re$FROM \('(.+)'\) TO \('(.+)'\)$re$) AS bounds) AS m
            WHERE i.inhparent = v_parent.oid
        ) AS p;
        default_rows := NULL;
        IF v_default IS NOT NULL THEN
            EXECUTE format(
                'SELECT count(*) FROM (SELECT FROM %I.%I LIMIT 10000) AS d', v_parent.nspname, v_default
            ) INTO default_rows;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.partition_state() IS
'Partitions and sizes of Bronze and the access log, for telestream doctor';
REVOKE ALL ON FUNCTION ops.partition_state() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.partition_state() TO telestream_engineer;
