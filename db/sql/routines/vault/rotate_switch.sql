-- requires: vault/rotate_fill.sql
-- Third step of a rotation: puts the coming key into force. Enrolments wait meanwhile, so it does so only
-- if at most p_rows persons are left to re-encrypt, which it does itself. Else it returns false, and
-- rotate_fill goes on with those that came meanwhile.
CREATE OR REPLACE FUNCTION vault.rotate_switch(p_rows integer)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_last bigint;
    v_left bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7301014);
    SELECT max(s.subscriber_id) INTO v_last FROM vault.subscriber AS s;
    UPDATE vault.key AS k SET walk_until = v_last WHERE k.state = 'coming';
    SELECT count(*) INTO v_left
    FROM (
        SELECT FROM vault.subscriber AS s
        WHERE s.subscriber_id > (SELECT k.walked_to FROM vault.key AS k WHERE k.state = 'coming')
        LIMIT p_rows + 1
    ) AS l;
    IF v_left > p_rows THEN
        RETURN false;
    END IF;
    PERFORM vault.rotate_fill(p_rows);
    UPDATE vault.key AS k SET state = 'retiring' WHERE k.state = 'current';
    UPDATE vault.key AS k
    SET state = 'current', current_from = clock_timestamp(), walked_to = 0
    WHERE k.state = 'coming';
    RETURN true;
END
$$;
COMMENT ON FUNCTION vault.rotate_switch(integer) IS
'Puts the coming key into force; false where too many persons are left to re-encrypt first';
REVOKE ALL ON FUNCTION vault.rotate_switch(integer) FROM PUBLIC;
