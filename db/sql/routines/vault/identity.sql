-- requires: vault/_pads.sql
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
    v_clear bytea;
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
    SELECT s.token, s.identity_encrypted INTO v_row
    FROM vault.subscriber AS s
    WHERE s.subscriber_id = v_subscriber_id AND s.identity_encrypted IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no subscriber %', v_subscriber_id
            USING ERRCODE = 'TS033',
            DETAIL = 'The surrogate was never given, is 0, or its person was erased.';
    END IF;
    v_pads := vault._pads();
    BEGIN
        v_clear := public.decrypt_iv(
            v_row.identity_encrypted, v_pads.p_cipher_key, substring(v_row.token FROM 1 FOR 16), 'aes-cbc'
        );
    EXCEPTION WHEN external_routine_invocation_exception THEN
        v_clear := NULL;
    END;
    -- The token is a keyed hash of the identity: what another key decrypts to does not have it.
    IF sha256(v_pads.p_outer || sha256(v_pads.p_inner || v_clear)) IS DISTINCT FROM v_row.token THEN
        RAISE EXCEPTION 'the vault key does not open this identity'
            USING ERRCODE = 'TS035',
            HINT = 'Use the key the data was loaded with.';
    END IF;
    RETURN convert_from(v_clear, 'UTF8');
END
$$;
COMMENT ON FUNCTION vault.identity(bigint) IS
'The identity that a committed row of the access log says is read; needs the vault key in the session';
REVOKE ALL ON FUNCTION vault.identity(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault.identity(bigint) TO telestream_privacy;
