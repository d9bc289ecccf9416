-- Writes down that somebody will read an identity, and why, and returns the number of that row:
-- vault.identity() gives the identity once the row is committed. Two steps, because a row written in the
-- transaction of the read would vanish with its ROLLBACK, after the identity was seen.
CREATE OR REPLACE FUNCTION vault.request_identity(p_subscriber_id bigint, p_reason text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_access_id bigint;
BEGIN
    IF length(btrim(coalesce(p_reason, ''))) < 8 THEN
        RAISE EXCEPTION 'a reason is missing'
            USING ERRCODE = 'TS032',
            DETAIL = 'An identity is shown only for a reason of at least eight characters.',
            HINT = 'Say what it is needed for, e.g. the number of the case.';
    END IF;
    IF NOT EXISTS (
        SELECT FROM vault.subscriber AS s
        WHERE s.subscriber_id = p_subscriber_id AND s.identity_encrypted IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'there is no subscriber %', p_subscriber_id
            USING ERRCODE = 'TS033',
            DETAIL = 'The surrogate was never given, is 0, or its person was erased.';
    END IF;
    INSERT INTO audit.access_inbox (
        at, principal, role, operation, field, variables_sha256, object_ids, rows_read, request_id, reason
    ) VALUES (
        clock_timestamp(), 'db:' || session_user,
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'reveal', 'vault.subscriber', '',
        ARRAY[p_subscriber_id::text], 1, '', btrim(p_reason)
    )
    RETURNING access_id INTO v_access_id;
    RETURN v_access_id;
END
$$;
COMMENT ON FUNCTION vault.request_identity(bigint, text) IS
'Logs that an identity will be read and why; vault.identity() then gives it';
REVOKE ALL ON FUNCTION vault.request_identity(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault.request_identity(bigint, text) TO telestream_privacy;
