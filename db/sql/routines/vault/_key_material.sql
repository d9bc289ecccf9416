-- Returns what is derived from a vault key: the two pads of HMAC-SHA-256 (RFC 2104), the encryption key
-- and the fingerprint. The key is what the client has set for its session; no dump holds it.
CREATE OR REPLACE FUNCTION vault._key_material(
    p_hex text, OUT p_inner bytea, OUT p_outer bytea, OUT p_cipher_key bytea, OUT p_fingerprint bytea
)
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key bytea;
BEGIN
    IF p_hex IS NULL OR p_hex !~ '^[0-9a-f]{64}$' THEN
        RAISE EXCEPTION 'vault key is not set in this session'
            USING ERRCODE = 'TS003',
            DETAIL = 'The setting telestream.vault_key must be 64 hexadecimal digits, and of a rotation '
                'telestream.vault_next_key as well.',
            HINT = 'The loader sets it from its key file; '
                'in psql: SELECT set_config(''telestream.vault_key'', …, true).';
    END IF;
    v_key := decode(p_hex, 'hex');
    p_inner := decode(repeat('36', 64), 'hex');
    p_outer := decode(repeat('5c', 64), 'hex');
    FOR v_i IN 0 .. 31 LOOP
        p_inner := set_byte(p_inner, v_i, get_byte(v_key, v_i) # 54);
        p_outer := set_byte(p_outer, v_i, get_byte(v_key, v_i) # 92);
    END LOOP;
    p_cipher_key := sha256('telestream vault cipher'::bytea || v_key);
    p_fingerprint := sha256('telestream vault fingerprint'::bytea || v_key);
END
$$;
COMMENT ON FUNCTION vault._key_material(text) IS
'Pads of the keyed hash, cipher key and fingerprint of a vault key';
REVOKE ALL ON FUNCTION vault._key_material(text) FROM PUBLIC;
