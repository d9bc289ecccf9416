-- requires: privacy/_forget.sql, privacy/_scrub_batches.sql, privacy/_search.sql, privacy/_linked.sql
-- requires: privacy/_summed.sql, privacy/_note.sql
-- Ends an erasure while no batch is open and none can be opened: takes the person out of what came
-- meanwhile, searches that, and writes the proof. Returns false where a load has brought the customer back:
-- then facts may point to it again, and the erasure begins anew. The caller commits at once, which frees the
-- loads that wait.
CREATE OR REPLACE FUNCTION privacy._settle(p_erasure_id bigint, p_plan jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
-- Loads that come meanwhile wait behind it.
SET lock_timeout = '15s'
AS $$
DECLARE
    v_erasure record;
    v_forgotten record;
    v_plan jsonb := p_plan;
    v_batches bigint[];
    v_counts jsonb;
    v_found bigint;
    v_proof jsonb;
    v_sha256 bytea;
BEGIN
    -- All who opened a batch have closed it, then no run of the rekey, no load of customers, no refine.
    PERFORM pg_advisory_xact_lock(7301013);
    PERFORM pg_advisory_xact_lock(7301012);
    PERFORM pg_advisory_xact_lock(7301010);
    PERFORM pg_advisory_xact_lock(7301008);
    SELECT e.* INTO v_erasure FROM privacy.erasure AS e WHERE e.erasure_id = p_erasure_id;
    SELECT coalesce(array_agg(b.batch_id), '{}') INTO v_batches
    FROM ops.batch AS b
    WHERE b.finished_at >= v_erasure.scrubbed_from;

    v_forgotten := privacy._forget(v_plan);
    v_plan := v_plan || jsonb_build_object(
        'own', (v_plan -> 'own') || to_jsonb(v_forgotten.o_new),
        'certain', (v_plan -> 'certain') || to_jsonb(v_forgotten.o_new)
    );
    v_counts := privacy._summed(v_erasure.counts, v_forgotten.o_counts);
    v_counts := privacy._summed(v_counts, privacy._scrub_batches(v_plan, v_erasure.policy, v_batches));
    UPDATE privacy.erasure AS e SET counts = v_counts WHERE e.erasure_id = p_erasure_id;
    IF (v_forgotten.o_counts ->> 'silver.dim_customer')::bigint > 0 THEN
        RETURN false;
    END IF;

    v_found := privacy._linked(v_plan) + (
        SELECT coalesce(sum(privacy._search(v_plan, s.name, v_batches, true)), 0) FROM privacy._searched_tables() AS s
    );
    IF v_found > 0 THEN
        RAISE EXCEPTION 'erasure % is not complete', p_erasure_id
            USING ERRCODE = 'TS039', DETAIL = format('%s rows still lead to the person; nothing is proven.', v_found),
            HINT = 'Run `telestream privacy erase --resume` again; report it if it stays.';
    END IF;
    v_proof := jsonb_build_object(
        'erasure_id', p_erasure_id,
        'requested_at', v_erasure.requested_at,
        'requested_by', v_erasure.requested_by,
        'finished_at', clock_timestamp(),
        'reason', v_erasure.reason,
        'policy', v_erasure.policy,
        'identities', jsonb_build_object(
            'customers', jsonb_array_length(v_plan -> 'customers'),
            'numbers and SIMs', jsonb_array_length(v_plan -> 'identities'),
            'numbers shared with others', jsonb_array_length(v_plan -> 'shared')
        ),
        'rows', v_counts,
        'searched', (SELECT jsonb_agg(s.name ORDER BY s.name) FROM privacy._searched_tables() AS s),
        'found', 0,
        'rounds', v_erasure.rounds + 1
    );
    v_sha256 := sha256(convert_to(v_proof::text, 'UTF8'));
    UPDATE privacy.erasure AS e
    SET
        state = 'done', step = 'done', step_cursor = NULL, subject_token = NULL, plan_encrypted = NULL,
        finished_at = (v_proof ->> 'finished_at')::timestamptz, proof = v_proof, proof_sha256 = v_sha256
    WHERE e.erasure_id = p_erasure_id;
    PERFORM privacy._note(
        'erased', ARRAY[p_erasure_id::text, encode(v_sha256, 'hex')], 0, v_erasure.reason
    );
    RETURN true;
END
$$;
COMMENT ON FUNCTION privacy._settle(bigint, jsonb) IS 'Ends an erasure and writes its proof';
REVOKE ALL ON FUNCTION privacy._settle(bigint, jsonb) FROM PUBLIC;
