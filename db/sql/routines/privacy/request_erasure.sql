-- requires: privacy/_person.sql, privacy/_held.sql, privacy/_reason.sql, privacy/_sealed_plan.sql
-- requires: privacy/_note.sql, privacy/_surrogates.sql, vault/_pads.sql, vault/_key_in_force.sql
-- Begins to erase a person and returns the number of the request, or that of the same request if it is under
-- way; privacy.erase_step() does the work. Refuses what a legal hold is on.
CREATE OR REPLACE FUNCTION privacy.request_erasure(p_subject text, p_reason text, p_policy text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_pads record := vault._pads();
    v_token bytea := sha256(v_pads.p_outer || sha256(v_pads.p_inner || convert_to('erase ' || p_subject, 'UTF8')));
    v_running record;
    v_plan jsonb;
    v_shared jsonb;
    v_held text;
    v_erasure_id bigint;
BEGIN
    SELECT e.erasure_id, e.subject_token INTO v_running FROM privacy.erasure AS e WHERE e.state = 'running';
    IF v_running.subject_token = v_token THEN
        RETURN v_running.erasure_id;
    END IF;
    -- Under its lock no rotation begins before this is committed.
    PERFORM vault._key_in_force();
    IF EXISTS (SELECT FROM vault.key AS k WHERE k.state IN ('coming', 'retiring')) THEN
        RAISE EXCEPTION 'the vault key is being rotated'
            USING ERRCODE = 'TS039', DETAIL = 'An erasure needs one key from its begin to its end.',
            HINT = 'Wait for the rotation, or finish it: `telestream vault rotate`.';
    END IF;
    v_plan := privacy._person(p_subject);
    v_held := privacy._held(v_plan);
    IF v_held IS NOT NULL THEN
        RAISE EXCEPTION 'a legal hold forbids to erase this person'
            USING ERRCODE = 'TS038', DETAIL = format('It is %s.', v_held),
            HINT = 'Nothing was changed. See `telestream retention show` for the holds in force.';
    END IF;
    IF v_running.erasure_id IS NOT NULL THEN
        RAISE EXCEPTION 'erasure % is under way', v_running.erasure_id
            USING ERRCODE = 'TS039', DETAIL = 'People are erased one after the other.',
            HINT = format('Finish it first: `telestream privacy erase --resume %s`.', v_running.erasure_id);
    END IF;
    -- On a number that others had as well the person's facts get a surrogate of their own, which nobody has.
    SELECT coalesce(jsonb_agg(s.one || jsonb_build_object(
        'fresh', nextval(pg_get_serial_sequence('vault.subscriber', 'subscriber_id'))
    )), '[]')
    INTO v_shared
    FROM jsonb_array_elements(v_plan -> 'shared') AS s (one);
    v_plan := v_plan || jsonb_build_object('shared', v_shared);
    INSERT INTO privacy.erasure (reason, policy, subject_token, plan_encrypted)
    VALUES (privacy._reason(p_reason, v_plan), p_policy, v_token, privacy._sealed_plan(v_plan))
    RETURNING erasure_id INTO v_erasure_id;
    -- By these the person is found again in a backup. Not by shared surrogates: they lead to whoever has the
    -- number now.
    PERFORM privacy._note(
        'erase',
        ARRAY[v_erasure_id::text] || privacy._surrogates(v_plan || '{"shared": []}')
        || ARRAY(SELECT 'customer_key:' || k.key FROM jsonb_array_elements_text(v_plan -> 'keys') AS k (key)),
        0, btrim(p_reason)
    );
    RETURN v_erasure_id;
END
$$;
COMMENT ON FUNCTION privacy.request_erasure(text, text, text) IS
'Begins to erase a person; privacy.erase_step() does it';
REVOKE ALL ON FUNCTION privacy.request_erasure(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION privacy.request_erasure(text, text, text) TO telestream_privacy;
