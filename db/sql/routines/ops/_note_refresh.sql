-- Notes that buckets of a rollup were computed anew, in the transaction that does it; an event tells of it
-- when its minute is over. p_rows is null where the server does not say how many rows that gave.
CREATE OR REPLACE FUNCTION ops._note_refresh(
    p_rollup text, p_rows bigint, p_lo timestamptz, p_hi timestamptz, p_started_at timestamptz
)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO ops.lineage_mark (kind, subject, rows, lo, hi, started_at)
    VALUES ('refresh', p_rollup, p_rows, p_lo, p_hi, p_started_at)
$$;
COMMENT ON FUNCTION ops._note_refresh(text, bigint, timestamptz, timestamptz, timestamptz) IS
'Notes for the lineage that buckets of a rollup were computed anew';
REVOKE ALL ON FUNCTION ops._note_refresh(text, bigint, timestamptz, timestamptz, timestamptz) FROM PUBLIC;
