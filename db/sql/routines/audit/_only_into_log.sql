-- A row leaves the inbox only in the transaction that puts it into the log.
CREATE OR REPLACE FUNCTION audit._only_into_log()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone AS g
        WHERE NOT EXISTS (
            SELECT FROM audit.access_log AS l WHERE l.access_id = g.access_id AND l.logged_at >= now()
        )
    ) THEN
        RAISE EXCEPTION 'the access log is append-only'
            USING ERRCODE = 'TS030',
            DETAIL = 'A row leaves audit.access_inbox only into audit.access_log.',
            HINT = 'SELECT audit.seal() moves what waits.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION audit._only_into_log() IS 'Refuses to delete a row that is not in the access log';
CREATE OR REPLACE TRIGGER only_into_log AFTER DELETE ON audit.access_inbox
REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION audit._only_into_log();
