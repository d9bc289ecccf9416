-- requires: vault/_key_in_force.sql
-- First step of a rotation: makes the session's next key the coming one. False where it is already. Waits
-- for enrolments in flight, so that every surrogate up to walk_until is committed.
CREATE OR REPLACE FUNCTION vault.rotate_begin()
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_fingerprint bytea;
    v_state text;
BEGIN
    PERFORM pg_advisory_xact_lock(7301014);
    PERFORM vault._key_in_force();
    SELECT m.p_fingerprint INTO v_fingerprint
    FROM vault._key_material(current_setting('telestream.vault_next_key', true)) AS m;
    SELECT k.state INTO v_state FROM vault.key AS k WHERE k.fingerprint = v_fingerprint;
    IF v_state = 'coming' THEN
        RETURN false;
    END IF;
    IF v_state IS NOT NULL OR EXISTS (SELECT FROM vault.key AS k WHERE k.state IN ('coming', 'retiring')) THEN
        RAISE EXCEPTION 'the next vault key cannot be used'
            USING ERRCODE = 'TS040',
            DETAIL = CASE
                WHEN v_state IS NULL THEN 'A rotation to another key is under way, see vault.key.'
                ELSE 'This key was used before: it is ' || v_state || '.'
            END,
            HINT = 'Give the key of the rotation under way, or end that with `telestream vault rotate --abort`; a '
                'new rotation needs a new key.';
    END IF;
    -- What it still has to erase is encrypted with the key it was begun with.
    IF EXISTS (SELECT FROM privacy.erasure AS e WHERE e.state = 'running') THEN
        RAISE EXCEPTION 'a person is being erased'
            USING ERRCODE = 'TS039', DETAIL = 'The erasure needs the current key to its end.',
            HINT = 'Finish it first: `telestream privacy erase --resume`.';
    END IF;
    INSERT INTO vault.key (key_id, state, fingerprint, walk_until)
    VALUES (
        (SELECT max(k.key_id) + 1 FROM vault.key AS k), 'coming', v_fingerprint,
        (SELECT max(s.subscriber_id) FROM vault.subscriber AS s)
    );
    RETURN true;
END
$$;
COMMENT ON FUNCTION vault.rotate_begin() IS 'Begins the rotation to the session''s next key';
REVOKE ALL ON FUNCTION vault.rotate_begin() FROM PUBLIC;
