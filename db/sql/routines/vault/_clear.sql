-- requires: vault/_pads.sql
-- Returns the identities behind surrogates, as far as the vault has them. No caller but the routines of
-- privacy, which write the access log first or erase.
CREATE OR REPLACE FUNCTION vault._clear(p_subscribers bigint[])
RETURNS TABLE (subscriber_id bigint, identity text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_pads record := vault._pads();
    v_row record;
    v_clear bytea;
BEGIN
    FOR v_row IN
        SELECT s.subscriber_id, s.token, s.identity_encrypted
        FROM vault.subscriber AS s
        WHERE s.subscriber_id = ANY (p_subscribers) AND s.identity_encrypted IS NOT NULL
    LOOP
        BEGIN
            v_clear := public.decrypt_iv(
                v_row.identity_encrypted, v_pads.p_cipher_key, substring(v_row.token FROM 1 FOR 16), 'aes-cbc'
            );
        EXCEPTION WHEN external_routine_invocation_exception THEN
            v_clear := NULL;
        END;
        IF sha256(v_pads.p_outer || sha256(v_pads.p_inner || v_clear)) IS DISTINCT FROM v_row.token THEN
            RAISE EXCEPTION 'the vault key does not open this identity'
                USING ERRCODE = 'TS035', HINT = 'Use the key the data was loaded with.';
        END IF;
        subscriber_id := v_row.subscriber_id;
        identity := convert_from(v_clear, 'UTF8');
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION vault._clear(bigint[]) IS 'The identities behind surrogates, for the routines of privacy';
REVOKE ALL ON FUNCTION vault._clear(bigint[]) FROM PUBLIC;
