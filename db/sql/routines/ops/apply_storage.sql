-- requires: ops/_storage_table.sql
-- Makes the server's policies those of ops.storage_policy, and says per table what holds now. Repeating it
-- changes nothing. What was compressed stays so when a policy goes. On the Apache edition nothing is
-- compressed, and it says so. Acts as the caller, who must own the tables.
CREATE OR REPLACE FUNCTION ops.apply_storage()
RETURNS TABLE (table_name text, outcome text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- The first time it alters a table that loads write to: they must not queue behind a long reader.
SET lock_timeout = '3s'
AS $$
DECLARE
    v_policy record;
    v_table regclass;
    v_segment text;
    v_now interval;
BEGIN
    PERFORM pg_advisory_xact_lock(7301016);
    FOR v_policy IN SELECT p.* FROM ops.storage_policy AS p ORDER BY p.data_class, p.table_name LOOP
        table_name := v_policy.table_name;
        IF current_setting('timescaledb.license') <> 'timescale' THEN
            outcome := 'never compressed: the Apache edition cannot';
            RETURN NEXT;
            CONTINUE;
        END IF;
        v_table := ops._storage_table(v_policy.table_name);
        v_now := (
            SELECT (j.config ->> 'compress_after')::interval FROM timescaledb_information.jobs AS j
            WHERE j.proc_name = 'policy_compression'
                AND format('%I.%I', j.hypertable_schema, j.hypertable_name)::regclass = v_table
        );
        IF v_policy.compress_after IS NOT NULL THEN
            v_segment := array_to_string(
                ARRAY(SELECT quote_ident(s.name) FROM unnest(v_policy.segment_by) AS s (name)), ', '
            );
            IF NOT EXISTS (
                SELECT FROM timescaledb_information.hypertable_compression_settings AS s
                WHERE s.hypertable = v_table AND coalesce(s.segmentby, '') = replace(v_segment, ', ', ',')
                    AND lower(s.orderby) = lower(v_policy.order_by)
            ) THEN
                EXECUTE format(
                    'ALTER TABLE %s SET (timescaledb.compress, timescaledb.compress_segmentby = %L, '
                    'timescaledb.compress_orderby = %L)', v_table, v_segment, v_policy.order_by
                );
            END IF;
        END IF;
        IF v_now IS DISTINCT FROM v_policy.compress_after THEN
            PERFORM public.remove_compression_policy(v_table, if_exists => true);
            IF v_policy.compress_after IS NOT NULL THEN
                PERFORM public.add_compression_policy(v_table, v_policy.compress_after);
            END IF;
        END IF;
        outcome := coalesce('compressed after ' || v_policy.compress_after, 'never compressed: ' || v_policy.reason);
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.apply_storage() IS 'Makes the server''s policies those of ops.storage_policy';
REVOKE ALL ON FUNCTION ops.apply_storage() FROM PUBLIC;
