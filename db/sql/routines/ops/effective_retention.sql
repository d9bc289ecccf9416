-- Returns the strictest of the rules that apply to a kind of record: the longest minimum, the shortest
-- maximum, and where they come from. Raises where no age satisfies both.
CREATE OR REPLACE FUNCTION ops.effective_retention(
    p_class text, OUT o_minimum interval, OUT o_maximum interval, OUT o_sources text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_places text[] := string_to_array(
        replace((SELECT s.value FROM ops.setting AS s WHERE s.name = 'jurisdiction'), ' ', ''), ','
    );
BEGIN
    SELECT
        max(r.minimum),
        min(r.maximum),
        string_agg(
            concat_ws(
                ', ', r.jurisdiction || ': ' || r.source, 'minimum ' || r.minimum, 'maximum ' || r.maximum
            ), '; ' ORDER BY r.jurisdiction
        )
    INTO o_minimum, o_maximum, o_sources
    FROM ops.retention_rule AS r
    WHERE r.record_class = p_class AND (r.jurisdiction = '*' OR r.jurisdiction = ANY (v_places));
    -- As dates, since a month is not always thirty days.
    IF now() - o_minimum < now() - o_maximum THEN
        RAISE EXCEPTION 'the retention rules of % contradict each other', p_class
            USING ERRCODE = 'TS012',
            DETAIL = format('They must be kept for %s and may be kept for %s. %s.', o_minimum, o_maximum, o_sources),
            HINT = 'Correct ops.retention_rule, or the setting jurisdiction in ops.setting; nothing is dropped before.';
    END IF;
END
$$;
COMMENT ON FUNCTION ops.effective_retention(text) IS 'Minimum and maximum age that apply to a kind of record';
REVOKE ALL ON FUNCTION ops.effective_retention(text) FROM PUBLIC;
