-- requires: audit/_append_only.sql
-- Puts the trigger against TRUNCATE on the partitions that lack it: partitions inherit triggers for rows
-- only.
CREATE OR REPLACE FUNCTION audit._guard_partitions()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_partition regclass;
BEGIN
    FOR v_partition IN
        SELECT i.inhrelid
        FROM pg_inherits AS i
        WHERE i.inhparent = 'audit.access_log'::regclass
            AND NOT EXISTS (
                SELECT FROM pg_trigger AS t WHERE t.tgrelid = i.inhrelid AND t.tgname = 'append_only_whole'
            )
    LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION audit._append_only()',
            v_partition
        );
    END LOOP;
END
$$;
COMMENT ON FUNCTION audit._guard_partitions() IS 'Makes the partitions of the access log refuse TRUNCATE';
REVOKE ALL ON FUNCTION audit._guard_partitions() FROM PUBLIC;
