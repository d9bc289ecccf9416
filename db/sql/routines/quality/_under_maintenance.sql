-- Returns whether a time of a dataset, or of one of its subjects, meets planned maintenance.
CREATE OR REPLACE FUNCTION quality._under_maintenance(
    p_dataset text, p_subject text, p_from timestamptz, p_to timestamptz
)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM quality.maintenance AS m
        WHERE (m.dataset IS NULL OR m.dataset = p_dataset) AND (m.subject IS NULL OR m.subject = p_subject)
            AND m.from_at < p_to AND m.to_at > p_from
    )
$$;
COMMENT ON FUNCTION quality._under_maintenance(text, text, timestamptz, timestamptz) IS
'Whether a time meets planned maintenance';
REVOKE ALL ON FUNCTION quality._under_maintenance(text, text, timestamptz, timestamptz) FROM PUBLIC;
