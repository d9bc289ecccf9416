-- requires: ops/_storage_table.sql
-- Refuses a policy that the server would refuse only at night, or that it would take and answer wrongly by.
CREATE OR REPLACE FUNCTION ops._storage_guard()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table regclass := ops._storage_table(new.table_name);
    v_order text[];
    v_lateness interval := (
        SELECT max(s.value::interval) FROM ops.setting AS s
        WHERE s.name IN ('allowed_lateness', 'allowed_event_lateness')
    );
    v_problem text;
BEGIN
    IF v_table IS NULL OR (new.table_name LIKE 'silver.fact\_%') <> (new.data_class = 'fact') THEN
        v_problem := format('there is no %s of this name', new.data_class);
    ELSIF new.compress_after IS NOT NULL AND new.data_class = 'rollup' THEN
        -- TimescaleDB has no policy for a continuous aggregate that it does not refresh itself.
        v_problem := 'only facts are compressed';
    ELSIF new.compress_after <= v_lateness THEN
        v_problem := format('rows may be %s late: compress_after must be longer', v_lateness);
    ELSE
        v_order := ARRAY(
            SELECT (regexp_match(
                o.part, '^\s*([a-z_][a-z0-9_]*)(\s+(asc|desc))?(\s+nulls\s+(first|last))?\s*$', 'i'
            ))[1]
            FROM regexp_split_to_table(new.order_by, ',') WITH ORDINALITY AS o (part, n)
            ORDER BY o.n
        );
        IF EXISTS (
            SELECT FROM unnest(v_order || new.segment_by) AS c (name)
            WHERE NOT EXISTS (
                SELECT FROM pg_attribute AS a WHERE a.attrelid = v_table AND a.attname = c.name AND a.attnum > 0
            )
        ) THEN
            v_problem := 'order_by and segment_by must name its columns';
        ELSIF v_order && new.segment_by THEN
            v_problem := 'a column cannot be both in order_by and in segment_by';
        ELSIF EXISTS (
            SELECT FROM pg_attribute AS a
            WHERE a.attrelid = v_table AND a.attname = v_order[1] AND a.atttypid = 'interval'::regtype
        ) THEN
            -- TimescaleDB has lost rows by it.
            v_problem := 'an interval cannot be the first column of order_by';
        ELSIF EXISTS (
            SELECT FROM pg_index AS i
            INNER JOIN pg_attribute AS a ON i.indrelid = a.attrelid AND a.attnum = ANY (i.indkey)
            WHERE i.indrelid = v_table AND a.atttypid = 'smallint'::regtype AND new.compress_after IS NOT NULL
        ) THEN
            -- TimescaleDB makes a bloom filter of each indexed column, and those of smallint gave wrong results.
            v_problem := 'it has an index on a smallint column';
        END IF;
    END IF;
    IF v_problem IS NOT NULL THEN
        RAISE EXCEPTION 'the storage policy of % cannot be used', new.table_name
            USING ERRCODE = 'TS043', DETAIL = format('%s.', v_problem), HINT = 'See docs/doctor.md, storage.';
    END IF;
    RETURN new;
END
$$;
COMMENT ON FUNCTION ops._storage_guard() IS 'Refuses a storage policy that cannot be applied';
REVOKE ALL ON FUNCTION ops._storage_guard() FROM PUBLIC;
CREATE OR REPLACE TRIGGER storage_guard BEFORE INSERT OR UPDATE ON ops.storage_policy
FOR EACH ROW EXECUTE FUNCTION ops._storage_guard();
