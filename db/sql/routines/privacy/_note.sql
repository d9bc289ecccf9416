-- Writes a row of the access log about a person, and returns its number.
CREATE OR REPLACE FUNCTION privacy._note(p_operation text, p_object_ids text[], p_rows bigint, p_reason text)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO audit.access_inbox (
        at, principal, role, operation, field, variables_sha256, object_ids, rows_read, request_id, reason
    ) VALUES (
        clock_timestamp(), 'db:' || session_user,
        coalesce(nullif(current_setting('role'), 'none'), session_user), p_operation, 'privacy', '',
        p_object_ids, p_rows, '', p_reason
    )
    RETURNING access_id
$$;
COMMENT ON FUNCTION privacy._note(text, text[], bigint, text) IS
'Writes a row of the access log about a person';
REVOKE ALL ON FUNCTION privacy._note(text, text[], bigint, text) FROM PUBLIC;
