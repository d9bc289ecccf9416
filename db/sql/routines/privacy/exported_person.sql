-- requires: privacy/_person.sql, privacy/_surrogates.sql
-- Returns what belongs to a person, see privacy._person(), for a committed row of the access log, not older
-- than a minute and of the same login, about the same person. A transaction that has written nothing sees
-- committed rows only, so the row cannot be rolled back any more.
CREATE OR REPLACE FUNCTION privacy.exported_person(p_access_id bigint, p_subject text)
RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_plan jsonb;
BEGIN
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        v_plan := privacy._person(p_subject);
        IF EXISTS (
            SELECT FROM (
                SELECT i.access_id, i.at, i.principal, i.operation, i.object_ids FROM audit.access_inbox AS i
                WHERE i.access_id = p_access_id
                UNION ALL
                SELECT l.access_id, l.at, l.principal, l.operation, l.object_ids FROM audit.access_log AS l
                WHERE l.access_id = p_access_id AND l.logged_at > now() - interval '1 hour'
            ) AS r
            WHERE r.operation = 'export' AND r.principal = 'db:' || session_user
                AND r.at > now() - interval '1 minute' AND r.object_ids @> privacy._surrogates(v_plan)
        ) THEN
            RETURN v_plan;
        END IF;
    END IF;
    RAISE EXCEPTION 'this read is not in the access log'
        USING ERRCODE = 'TS034',
        DETAIL = 'A person is shown for a row of your own, committed and younger than a minute, to a '
            'transaction that has written nothing.',
        HINT = 'Call privacy.request_export(subject, reason) first, in a transaction of its own.';
END
$$;
COMMENT ON FUNCTION privacy.exported_person(bigint, text) IS
'What belongs to a person that a committed row of the access log is about';
REVOKE ALL ON FUNCTION privacy.exported_person(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION privacy.exported_person(bigint, text) TO telestream_privacy;
