-- requires: privacy/_scrub_batches.sql, privacy/_search.sql, privacy/_ids.sql, privacy/_texts.sql
-- requires: vault/find.sql
-- Takes a person out of what has come since an erasure began, the oldest batches first, and searches that.
-- Returns the counts, how many rows name the person all the same, the plan with surrogates that loads have
-- made since, since when batches have still to be searched, and whether no more than the last moments are
-- left.
CREATE OR REPLACE FUNCTION privacy._again_step(
    p_scrubbed_from timestamptz, p_plan jsonb, p_policy text,
    OUT o_counts jsonb, OUT o_found bigint, OUT o_plan jsonb, OUT o_scrubbed_from timestamptz,
    OUT o_is_last boolean
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
-- Batches that come meanwhile wait behind it.
SET lock_timeout = '15s'
AS $$
DECLARE
    v_batches bigint[];
    v_new bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(7301008);
    SELECT array_agg(s.batch_id) FILTER (WHERE s.before < 200000), min(s.finished_at) FILTER (WHERE s.before >= 200000)
    INTO v_batches, o_scrubbed_from
    FROM (
        SELECT
            b.batch_id, b.finished_at,
            sum(b.rows_in) OVER (ORDER BY b.finished_at, b.batch_id ROWS UNBOUNDED PRECEDING) - b.rows_in AS before
        FROM ops.batch AS b
        WHERE b.finished_at >= p_scrubbed_from
    ) AS s;
    o_is_last := o_scrubbed_from IS NULL;
    o_scrubbed_from := coalesce(o_scrubbed_from, clock_timestamp());
    SELECT coalesce(array_agg(DISTINCT f.subscriber_id), '{}') INTO v_new
    FROM vault.find(privacy._texts(p_plan -> 'forms')) AS f
    WHERE f.subscriber_id <> ALL (privacy._ids(p_plan -> 'own'));
    o_plan := p_plan || jsonb_build_object(
        'own', (p_plan -> 'own') || to_jsonb(v_new), 'certain', (p_plan -> 'certain') || to_jsonb(v_new),
        'vault', (p_plan -> 'vault') || to_jsonb(v_new)
    );
    o_counts := privacy._scrub_batches(o_plan, p_policy, v_batches);
    SELECT coalesce(sum(privacy._search(o_plan, s.name, v_batches, true)), 0) INTO o_found
    FROM privacy._searched_tables() AS s;
END
$$;
COMMENT ON FUNCTION privacy._again_step(timestamptz, jsonb, text) IS
'Takes a person out of what has come since their erasure began';
REVOKE ALL ON FUNCTION privacy._again_step(timestamptz, jsonb, text) FROM PUBLIC;
