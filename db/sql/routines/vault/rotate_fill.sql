-- requires: vault/_key_in_force.sql, vault/_open.sql
-- Second step of a rotation: makes tokens and encrypted identities under the next key, of the next p_rows
-- persons. Returns how many surrogates are left. An identity that the current key does not open is left
-- out: the current key finds it neither.
CREATE OR REPLACE FUNCTION vault.rotate_fill(p_rows integer)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_old record;
    v_new record;
    v_key record;
    v_walked_to bigint;
BEGIN
    PERFORM vault._key_in_force();
    v_old := vault._key_material(current_setting('telestream.vault_key', true));
    v_new := vault._key_material(current_setting('telestream.vault_next_key', true));
    SELECT k.key_id, k.walked_to, k.walk_until INTO v_key
    FROM vault.key AS k
    WHERE k.state = 'coming' AND k.fingerprint = v_new.p_fingerprint
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the next vault key cannot be used'
            USING ERRCODE = 'TS040', DETAIL = 'No rotation to this key is under way, see vault.key.';
    END IF;
    -- The lock keeps an erasure out until the copy, which goes with the row, is committed.
    WITH slice AS MATERIALIZED (
        SELECT s.subscriber_id, s.token, s.identity_encrypted
        FROM vault.subscriber AS s
        WHERE s.subscriber_id > v_key.walked_to AND s.subscriber_id <= v_key.walk_until
        ORDER BY s.subscriber_id
        LIMIT p_rows
        FOR KEY SHARE
    ),
    opened AS MATERIALIZED (
        SELECT
            s.subscriber_id,
            convert_to(
                vault._open(s.token, s.identity_encrypted, v_old.p_inner, v_old.p_outer, v_old.p_cipher_key), 'UTF8'
            ) AS clear
        FROM slice AS s
        WHERE s.token IS NOT NULL AND s.identity_encrypted IS NOT NULL
    ),
    named AS MATERIALIZED (
        SELECT o.subscriber_id, o.clear, sha256(v_new.p_outer || sha256(v_new.p_inner || o.clear)) AS token
        FROM opened AS o
        WHERE o.clear IS NOT NULL
    ),
    made AS (
        INSERT INTO vault.rotated (subscriber_id, token, identity_encrypted)
        SELECT
            n.subscriber_id, n.token,
            public.encrypt_iv(n.clear, v_new.p_cipher_key, substring(n.token FROM 1 FOR 16), 'aes-cbc')
        FROM named AS n
    )
    SELECT max(s.subscriber_id) INTO v_walked_to FROM slice AS s;
    v_walked_to := coalesce(v_walked_to, v_key.walk_until);
    UPDATE vault.key AS k SET walked_to = v_walked_to WHERE k.key_id = v_key.key_id;
    RETURN v_key.walk_until - v_walked_to;
END
$$;
COMMENT ON FUNCTION vault.rotate_fill(integer) IS
'Re-encrypts the next persons for the coming key; returns how many surrogates are left';
REVOKE ALL ON FUNCTION vault.rotate_fill(integer) FROM PUBLIC;
