-- requires: privacy/_targets.sql, privacy/_bytes_text.sql
-- Takes a person out of the messages that could not be decoded, of some batches or of a range of ids. Nobody
-- knows whose they are, nor of when: their bytes become a marker, and where they stood in the log stays.
CREATE OR REPLACE FUNCTION privacy._scrub_dead_letters(
    p_plan jsonb, p_batches bigint[], p_from bigint, p_to bigint
)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_pattern text := (SELECT string_agg(t.pattern, '|') FROM privacy._targets(p_plan) AS t);
    v_rows bigint;
BEGIN
    UPDATE ops.dead_letter AS d
    SET key = NULL, value = convert_to('erased', 'UTF8'), detail = 'erased on request'
    WHERE (d.batch_id = ANY (p_batches) OR (d.dead_letter_id >= p_from AND d.dead_letter_id < p_to))
        AND concat_ws(' ', privacy._bytes_text(d.key), privacy._bytes_text(d.value), d.detail) ~ v_pattern;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN jsonb_build_object('ops.dead_letter', v_rows);
END
$$;
COMMENT ON FUNCTION privacy._scrub_dead_letters(jsonb, bigint[], bigint, bigint) IS
'Takes a person out of the messages that could not be decoded';
REVOKE ALL ON FUNCTION privacy._scrub_dead_letters(jsonb, bigint[], bigint, bigint) FROM PUBLIC;
