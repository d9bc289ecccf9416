-- Takes a rotation back that has not switched yet, e.g. because its next key is lost. False where there is
-- none.
CREATE OR REPLACE FUNCTION vault.rotate_abort()
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7301014);
    DELETE FROM vault.key AS k WHERE k.state = 'coming';
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    TRUNCATE vault.rotated;
    RETURN true;
END
$$;
COMMENT ON FUNCTION vault.rotate_abort() IS 'Takes a rotation back that has not switched yet';
REVOKE ALL ON FUNCTION vault.rotate_abort() FROM PUBLIC;
