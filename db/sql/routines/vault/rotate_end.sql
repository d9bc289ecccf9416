-- Last step of a rotation: retires the old key. Enrolments wait meanwhile, since whoever began to look a
-- token up beside vault.subscriber would not find it there after the TRUNCATE.
CREATE OR REPLACE FUNCTION vault.rotate_end()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7301014);
    IF EXISTS (
        SELECT FROM vault.rotated AS r
        WHERE r.subscriber_id > (SELECT k.walked_to FROM vault.key AS k WHERE k.state = 'current')
    ) OR EXISTS (SELECT FROM vault.key AS k WHERE k.state = 'coming') THEN
        RAISE EXCEPTION 'the rotation has not come to its last step'
            USING ERRCODE = 'TS041', HINT = 'Run `telestream vault rotate`.';
    END IF;
    TRUNCATE vault.rotated;
    UPDATE vault.key AS k SET state = 'retired', retired_at = clock_timestamp() WHERE k.state = 'retiring';
END
$$;
COMMENT ON FUNCTION vault.rotate_end() IS 'Ends a rotation: the old key opens nothing any more';
REVOKE ALL ON FUNCTION vault.rotate_end() FROM PUBLIC;
