-- requires: vault/_pads.sql, vault/_key_in_force.sql, vault/_open.sql
-- Returns the identities behind surrogates, as far as the vault has them. No caller but the routines of
-- privacy, which write the access log first or erase.
CREATE OR REPLACE FUNCTION vault._clear(p_subscribers bigint[])
RETURNS TABLE (subscriber_id bigint, identity text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_pads record := vault._pads();
    v_key_id smallint := vault._key_in_force();
BEGIN
    -- Between the switch of a rotation and its end, what the key in force made may still lie beside.
    FOR subscriber_id, identity IN
        SELECT
            s.subscriber_id,
            vault._open(
                coalesce(r.token, s.token), coalesce(r.identity_encrypted, s.identity_encrypted),
                v_pads.p_inner, v_pads.p_outer, v_pads.p_cipher_key
            )
        FROM vault.subscriber AS s
        LEFT JOIN vault.rotated AS r ON s.subscriber_id = r.subscriber_id AND s.key_id <> v_key_id
        WHERE s.subscriber_id = ANY (p_subscribers) AND s.identity_encrypted IS NOT NULL
    LOOP
        IF identity IS NULL THEN
            RAISE EXCEPTION 'the vault key does not open this identity'
                USING ERRCODE = 'TS035', HINT = 'Use the key the data was loaded with.';
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION vault._clear(bigint[]) IS 'The identities behind surrogates, for the routines of privacy';
REVOKE ALL ON FUNCTION vault._clear(bigint[]) FROM PUBLIC;
