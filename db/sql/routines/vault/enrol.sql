-- requires: vault/_pads.sql
-- Makes sure that each identity has a surrogate, and leaves the map of these identities in
-- pg_temp._identity (identity, subscriber_id) for the refine of the same session. Call it in a short
-- transaction of its own: an identity without facts is harmless, and two loaders that meet the same
-- new number then wait for each other a moment only. New rows go in token order, so they never deadlock.
CREATE OR REPLACE FUNCTION vault.enrol(p_identities text[])
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_pads record;
    v_new bigint;
BEGIN
    IF to_regclass('pg_temp._identity') IS NULL THEN
        CREATE TEMPORARY TABLE _identity (identity text NOT NULL, subscriber_id bigint NOT NULL);
        CREATE TEMPORARY TABLE _identity_token (identity text NOT NULL, token bytea NOT NULL);
        -- All the planner must know is that identities are distinct: a small sample says so.
        ALTER TABLE pg_temp._identity ALTER COLUMN identity SET STATISTICS 10;
    ELSIF EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.oid IN ('pg_temp._identity'::regclass, 'pg_temp._identity_token'::regclass)
            AND c.relowner <> (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user)
    ) THEN
        RAISE EXCEPTION 'temporary table _identity belongs to another role'
            USING ERRCODE = 'TS006', HINT = 'Use a new session.';
    ELSE
        TRUNCATE pg_temp._identity, pg_temp._identity_token;
    END IF;

    v_pads := vault._pads();
    INSERT INTO pg_temp._identity_token (identity, token)
    SELECT u.identity, sha256(v_pads.p_outer || sha256(v_pads.p_inner || convert_to(u.identity, 'UTF8')))
    FROM (
        SELECT DISTINCT i.identity FROM unnest(p_identities) AS i (identity) WHERE i.identity IS NOT NULL
    ) AS u;

    INSERT INTO pg_temp._identity (identity, subscriber_id)
    SELECT t.identity, s.subscriber_id
    FROM pg_temp._identity_token AS t
    INNER JOIN vault.subscriber AS s ON t.token = s.token;

    INSERT INTO vault.subscriber (token, key_id, identity_encrypted)
    SELECT
        t.token, 1,
        public.encrypt_iv(
            convert_to(t.identity, 'UTF8'), v_pads.p_cipher_key, substring(t.token FROM 1 FOR 16), 'aes-cbc'
        )
    FROM pg_temp._identity_token AS t
    WHERE NOT EXISTS (SELECT FROM pg_temp._identity AS i WHERE i.identity = t.identity)
    ORDER BY t.token
    ON CONFLICT (token) DO NOTHING;
    GET DIAGNOSTICS v_new = ROW_COUNT;

    -- Those just made, and those another session made meanwhile.
    INSERT INTO pg_temp._identity (identity, subscriber_id)
    SELECT t.identity, s.subscriber_id
    FROM pg_temp._identity_token AS t
    INNER JOIN vault.subscriber AS s ON t.token = s.token
    WHERE NOT EXISTS (SELECT FROM pg_temp._identity AS i WHERE i.identity = t.identity);
    ANALYZE pg_temp._identity (identity);
    RETURN v_new;
END
$$;
COMMENT ON FUNCTION vault.enrol(text[]) IS 'Gives each identity a surrogate; returns how many were new';
REVOKE ALL ON FUNCTION vault.enrol(text[]) FROM PUBLIC;
