-- requires: privacy/_searched_tables.sql, privacy/_targets.sql, privacy/_ids.sql, privacy/_texts.sql
-- Searches one table for a person and returns how many rows name them: all of it but what the given batches
-- brought, or that alone. A number that others had as well is looked for where a row has a time.
CREATE OR REPLACE FUNCTION privacy._search(p_plan jsonb, p_table text, p_batches bigint[], p_is_only boolean)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_table record;
    v_time text;
    v_target record;
    v_rows bigint;
    v_found bigint := 0;
BEGIN
    SELECT s.texts, s.has_batch INTO v_table FROM privacy._searched_tables() AS s WHERE s.name = p_table;
    v_time := CASE p_table
        WHEN 'bronze.cdr' THEN 't.started_at'
        WHEN 'bronze.network_event' THEN 't.event_at'
        WHEN 'bronze.customer' THEN 't.changed_at'
        WHEN 'silver.fact_cdr' THEN 't.started_at'
        WHEN 'silver.fact_network_event' THEN 't.event_at'
    END;
    IF p_is_only AND NOT v_table.has_batch THEN
        RETURN 0;
    END IF;
    FOR v_target IN SELECT t.pattern, t.spans FROM privacy._targets(p_plan) AS t LOOP
        CONTINUE WHEN v_time IS NULL AND v_target.spans <> '{(,)}';
        EXECUTE format(
            'SELECT count(*) FROM %s AS t WHERE %s ~ $1 AND coalesce($2 @> %s, true)%s',
            p_table::regclass, v_table.texts, coalesce(v_time, 'NULL::timestamptz'),
            CASE
                WHEN NOT v_table.has_batch THEN ''
                WHEN p_is_only THEN ' AND t.batch_id = ANY ($3)'
                ELSE ' AND t.batch_id <> ALL ($3)'
            END
        ) INTO v_rows USING v_target.pattern, v_target.spans, p_batches;
        v_found := v_found + v_rows;
    END LOOP;
    RETURN v_found;
END
$$;
COMMENT ON FUNCTION privacy._search(jsonb, text, bigint[], boolean) IS
'How many rows of a table name a person';
REVOKE ALL ON FUNCTION privacy._search(jsonb, text, bigint[], boolean) FROM PUBLIC;
