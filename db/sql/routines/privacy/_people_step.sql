-- requires: privacy/_held.sql, privacy/_forget.sql
-- The first step of an erasure: asks again for a legal hold, then removes the links to the person. Waits for
-- the refines and the rekey under way, so that what they brought is seen by the steps after it, and those
-- that begin later know nothing of the customer. Returns the counts, the plan with surrogates that a load
-- made since, and since when batches have to be searched again at the end.
CREATE OR REPLACE FUNCTION privacy._people_step(
    p_plan jsonb, OUT o_counts jsonb, OUT o_plan jsonb, OUT o_scrubbed_from timestamptz
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Batches that come meanwhile wait behind it.
SET lock_timeout = '15s'
AS $$
DECLARE
    v_held text;
    v_forgotten record;
BEGIN
    PERFORM pg_advisory_xact_lock(7301012);
    PERFORM pg_advisory_xact_lock(7301010);
    v_held := privacy._held(p_plan);
    IF v_held IS NOT NULL THEN
        RAISE EXCEPTION 'a legal hold forbids to erase this person'
            USING ERRCODE = 'TS038', DETAIL = format('It is %s.', v_held),
            HINT = 'The request waits. Once the hold is lifted: `telestream privacy erase --resume`.';
    END IF;
    v_forgotten := privacy._forget(p_plan);
    o_counts := v_forgotten.o_counts;
    o_plan := p_plan || jsonb_build_object(
        'own', (p_plan -> 'own') || to_jsonb(v_forgotten.o_new),
        'certain', (p_plan -> 'certain') || to_jsonb(v_forgotten.o_new)
    );
    -- A batch closes under this lock: whatever has finished by now is committed.
    PERFORM pg_advisory_xact_lock(7301008);
    o_scrubbed_from := clock_timestamp();
END
$$;
COMMENT ON FUNCTION privacy._people_step(jsonb) IS
'The first step of an erasure: removes the links to the person';
REVOKE ALL ON FUNCTION privacy._people_step(jsonb) FROM PUBLIC;
