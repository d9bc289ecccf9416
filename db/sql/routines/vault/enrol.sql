-- requires: vault/_pads.sql, vault/_key_in_force.sql, vault/_find.sql
-- Makes sure that each identity has a surrogate, and leaves the map of these identities in
-- pg_temp._identity (identity, subscriber_id) for the refine of the same session. Call it in a short
-- transaction of its own: an identity without facts is harmless, and two loaders that meet the same new
-- number then wait for each other a moment only. New rows go in token order, so they never deadlock.
CREATE OR REPLACE FUNCTION vault.enrol(p_identities text[])
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_pads record;
    v_key_id smallint;
    v_asked bigint;
    v_mapped bigint;
    v_new bigint;
BEGIN
    IF to_regclass('pg_temp._identity') IS NULL THEN
        CREATE TEMPORARY TABLE _identity (identity text NOT NULL, subscriber_id bigint NOT NULL);
        -- All the planner must know is that identities are distinct: a small sample says so.
        ALTER TABLE pg_temp._identity ALTER COLUMN identity SET STATISTICS 10;
    ELSIF EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.oid = 'pg_temp._identity'::regclass
            AND c.relowner <> (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user)
    ) THEN
        RAISE EXCEPTION 'temporary table _identity belongs to another role'
            USING ERRCODE = 'TS006', HINT = 'Use a new session.';
    ELSE
        TRUNCATE pg_temp._identity;
    END IF;

    v_pads := vault._pads();
    v_key_id := vault._key_in_force();
    WITH known AS MATERIALIZED (
        SELECT f.identity, f.token, f.subscriber_id FROM vault._find(p_identities) AS f
    ),
    made AS (
        INSERT INTO vault.subscriber (token, key_id, identity_encrypted)
        SELECT
            k.token, v_key_id,
            public.encrypt_iv(
                convert_to(k.identity, 'UTF8'), v_pads.p_cipher_key, substring(k.token FROM 1 FOR 16), 'aes-cbc'
            )
        FROM known AS k
        WHERE k.subscriber_id IS NULL
        ORDER BY k.token
        ON CONFLICT (token) DO NOTHING
        RETURNING token, subscriber_id
    ),
    mapped AS (
        INSERT INTO pg_temp._identity (identity, subscriber_id)
        SELECT k.identity, coalesce(k.subscriber_id, m.subscriber_id)
        FROM known AS k
        LEFT JOIN made AS m ON k.token = m.token
        WHERE k.subscriber_id IS NOT NULL OR m.subscriber_id IS NOT NULL
        RETURNING subscriber_id
    )
    SELECT
        (SELECT count(*) FROM known), (SELECT count(*) FROM mapped), (SELECT count(*) FROM made)
    INTO v_asked, v_mapped, v_new;

    IF v_mapped < v_asked THEN
        -- Another session made these meanwhile; this statement sees them.
        INSERT INTO pg_temp._identity (identity, subscriber_id)
        SELECT f.identity, f.subscriber_id
        FROM vault._find(
            ARRAY(
                SELECT i.identity FROM unnest(p_identities) AS i (identity)
                WHERE NOT EXISTS (SELECT FROM pg_temp._identity AS m WHERE m.identity = i.identity)
            )
        ) AS f;
    END IF;
    ANALYZE pg_temp._identity (identity);
    RETURN v_new;
END
$$;
COMMENT ON FUNCTION vault.enrol(text[]) IS 'Gives each identity a surrogate; returns how many were new';
REVOKE ALL ON FUNCTION vault.enrol(text[]) FROM PUBLIC;
