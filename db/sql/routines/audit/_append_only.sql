-- Refuses to change what has been logged, to whoever tries: the owner too. Triggers for rows reach the
-- partitions; one for TRUNCATE does not, so audit._guard_partitions() puts it there.
CREATE OR REPLACE FUNCTION audit._append_only()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the access log is append-only'
        USING ERRCODE = 'TS030',
        DETAIL = format('%s on %I.%I was refused.', tg_op, tg_table_schema, tg_table_name),
        HINT = 'What is older than the setting audit_retention is dropped by telestream''s maintenance.';
END
$$;
COMMENT ON FUNCTION audit._append_only() IS 'Refuses UPDATE, DELETE and TRUNCATE of the access log';
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit.access_log
FOR EACH ROW EXECUTE FUNCTION audit._append_only();
CREATE OR REPLACE TRIGGER append_only_whole BEFORE TRUNCATE ON audit.access_log
FOR EACH STATEMENT EXECUTE FUNCTION audit._append_only();
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON audit.access_inbox
FOR EACH STATEMENT EXECUTE FUNCTION audit._append_only();
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.anchor
FOR EACH STATEMENT EXECUTE FUNCTION audit._append_only();
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON audit.chain_head
FOR EACH STATEMENT EXECUTE FUNCTION audit._append_only();
