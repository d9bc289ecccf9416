-- requires: vault/_key_material.sql
-- Returns the two pads of HMAC-SHA-256 and the encryption key, all derived from the session's vault key,
-- which the client sets and no dump holds.
CREATE OR REPLACE FUNCTION vault._pads(OUT p_inner bytea, OUT p_outer bytea, OUT p_cipher_key bytea)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT m.p_inner, m.p_outer, m.p_cipher_key INTO p_inner, p_outer, p_cipher_key
    FROM vault._key_material(current_setting('telestream.vault_key', true)) AS m;
END
$$;
COMMENT ON FUNCTION vault._pads() IS
'Pads of the keyed hash and the cipher key, from the session''s vault key';
REVOKE ALL ON FUNCTION vault._pads() FROM PUBLIC;
