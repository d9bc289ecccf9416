-- requires: vault/_key_material.sql, vault/_open.sql
-- Returns the number of the session's key, and makes sure that it is the one in force until the
-- transaction ends: a rotation switches under the same lock. The first key that opens what is there
-- becomes the current one. Not for transactions that are older than the lock, such as REPEATABLE READ.
CREATE OR REPLACE FUNCTION vault._key_in_force()
RETURNS smallint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_material record;
    v_key_id smallint;
    v_state text;
    v_token bytea;
    v_encrypted bytea;
BEGIN
    v_material := vault._key_material(current_setting('telestream.vault_key', true));
    PERFORM pg_advisory_xact_lock_shared(7301014);
    IF NOT EXISTS (SELECT FROM vault.key) THEN
        SELECT s.token, s.identity_encrypted INTO v_token, v_encrypted
        FROM vault.subscriber AS s
        WHERE s.token IS NOT NULL AND s.identity_encrypted IS NOT NULL
        ORDER BY s.subscriber_id
        LIMIT 1;
        IF NOT FOUND OR vault._open(
            v_token, v_encrypted, v_material.p_inner, v_material.p_outer, v_material.p_cipher_key
        ) IS NOT NULL THEN
            -- Of two sessions that are the first the one waits for the other here.
            INSERT INTO vault.key (key_id, state, fingerprint, current_from)
            VALUES (1, 'current', v_material.p_fingerprint, clock_timestamp())
            ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    -- Read last, and once: a key that another session has registered meanwhile is seen here.
    SELECT k.key_id, k.state INTO v_key_id, v_state
    FROM vault.key AS k WHERE k.fingerprint = v_material.p_fingerprint;
    IF v_key_id IS NULL THEN
        RAISE EXCEPTION 'the vault key is not the one of this database'
            USING ERRCODE = 'TS040',
            DETAIL = 'Its fingerprint is not in vault.key; it would give every person a new surrogate.',
            HINT = 'Use the key the data was loaded with, see TELESTREAM_VAULT_KEY_FILE.';
    END IF;
    IF v_state <> 'current' THEN
        RAISE EXCEPTION 'the vault key is not in force'
            USING ERRCODE = 'TS041',
            DETAIL = format('Key %s is %s, see vault.key.', v_key_id, v_state),
            HINT = 'Put the key in force into TELESTREAM_VAULT_KEY_FILE or TELESTREAM_VAULT_NEXT_KEY_FILE of this '
                'machine, then run it again.';
    END IF;
    RETURN v_key_id;
END
$$;
COMMENT ON FUNCTION vault._key_in_force() IS
'Number of the session''s key, which stays in force until the transaction ends; refuses any other';
REVOKE ALL ON FUNCTION vault._key_in_force() FROM PUBLIC;
