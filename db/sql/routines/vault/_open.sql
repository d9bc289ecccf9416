-- Decrypts an identity; null where the key does not open it. The token is a keyed hash of the identity: what
-- another key decrypts to does not have it.
CREATE OR REPLACE FUNCTION vault._open(
    p_token bytea, p_encrypted bytea, p_inner bytea, p_outer bytea, p_cipher_key bytea
)
RETURNS text
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_clear bytea;
BEGIN
    BEGIN
        v_clear := public.decrypt_iv(p_encrypted, p_cipher_key, substring(p_token FROM 1 FOR 16), 'aes-cbc');
    EXCEPTION WHEN external_routine_invocation_exception THEN
        RETURN NULL;
    END;
    IF sha256(p_outer || sha256(p_inner || v_clear)) IS DISTINCT FROM p_token THEN
        RETURN NULL;
    END IF;
    RETURN convert_from(v_clear, 'UTF8');
END
$$;
COMMENT ON FUNCTION vault._open(bytea, bytea, bytea, bytea, bytea) IS
'The identity behind a token, or null where the key does not open it';
REVOKE ALL ON FUNCTION vault._open(bytea, bytea, bytea, bytea, bytea) FROM PUBLIC;
