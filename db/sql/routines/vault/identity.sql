-- requires: vault/_pads.sql, vault/_key_in_force.sql, vault/_open.sql
-- Returns the identity that a committed row of the access log, not older than a minute and of the same login,
-- says is read. A transaction that has written nothing sees committed rows only, so the row cannot be rolled
-- back any more.
CREATE OR REPLACE FUNCTION vault.identity(p_access_id bigint)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_subscriber_id bigint;
    v_row record;
    v_pads record;
    v_key_id smallint;
    v_identity text;
BEGIN
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        SELECT (r.object_ids[1])::bigint INTO v_subscriber_id
        FROM (
            SELECT i.access_id, i.at, i.principal, i.operation, i.object_ids FROM audit.access_inbox AS i
            WHERE i.access_id = p_access_id
            UNION ALL
            SELECT l.access_id, l.at, l.principal, l.operation, l.object_ids FROM audit.access_log AS l
            WHERE l.access_id = p_access_id AND l.logged_at > now() - interval '1 hour'
        ) AS r
        WHERE r.operation = 'reveal' AND r.principal = 'db:' || session_user
            AND r.at > clock_timestamp() - interval '1 minute';
    END IF;
    IF v_subscriber_id IS NULL THEN
        RAISE EXCEPTION 'this read is not in the access log'
            USING ERRCODE = 'TS034',
            DETAIL = 'An identity is given for a row of your own, committed and younger than a minute, to a '
                'transaction that has written nothing.',
            HINT = 'CALL vault.reveal(subscriber, reason, NULL), outside of a transaction.';
    END IF;
    v_key_id := vault._key_in_force();
    -- Between the switch of a rotation and its end, what the key in force made may still lie beside.
    SELECT
        coalesce(r.token, s.token) AS token,
        coalesce(r.identity_encrypted, s.identity_encrypted) AS identity_encrypted
    INTO v_row
    FROM vault.subscriber AS s
    LEFT JOIN vault.rotated AS r ON s.subscriber_id = r.subscriber_id AND s.key_id <> v_key_id
    WHERE s.subscriber_id = v_subscriber_id AND s.identity_encrypted IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no subscriber %', v_subscriber_id
            USING ERRCODE = 'TS033',
            DETAIL = 'The surrogate was never given, is 0, or its person was erased.';
    END IF;
    v_pads := vault._pads();
    v_identity := vault._open(
        v_row.token, v_row.identity_encrypted, v_pads.p_inner, v_pads.p_outer, v_pads.p_cipher_key
    );
    IF v_identity IS NULL THEN
        RAISE EXCEPTION 'the vault key does not open this identity'
            USING ERRCODE = 'TS035',
            HINT = 'Use the key the data was loaded with.';
    END IF;
    RETURN v_identity;
END
$$;
COMMENT ON FUNCTION vault.identity(bigint) IS
'The identity that a committed row of the access log says is read; needs the vault key in the session';
REVOKE ALL ON FUNCTION vault.identity(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault.identity(bigint) TO telestream_privacy;
