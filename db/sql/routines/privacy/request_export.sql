-- requires: privacy/_person.sql, privacy/_reason.sql, privacy/_note.sql, privacy/_surrogates.sql
-- Writes down that what is known of a person will be shown, and why, and returns the number of that row:
-- privacy.exported_person() says who it is once the row is committed.
CREATE OR REPLACE FUNCTION privacy.request_export(p_subject text, p_reason text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_plan jsonb := privacy._person(p_subject);
BEGIN
    RETURN privacy._note('export', privacy._surrogates(v_plan), 1, privacy._reason(p_reason, v_plan));
END
$$;
COMMENT ON FUNCTION privacy.request_export(text, text) IS
'Logs that what is known of a person will be shown; privacy.exported_person() then says who it is';
REVOKE ALL ON FUNCTION privacy.request_export(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION privacy.request_export(text, text) TO telestream_privacy;
