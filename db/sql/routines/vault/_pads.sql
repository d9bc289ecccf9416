-- Returns the two pads of HMAC-SHA-256 (RFC 2104) and the encryption key, all derived from the
-- session's vault key, which the client sets for each transaction and no dump holds.
CREATE OR REPLACE FUNCTION vault._pads(OUT p_inner bytea, OUT p_outer bytea, OUT p_cipher_key bytea)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_hex text := current_setting('telestream.vault_key', true);
    v_key bytea;
BEGIN
    IF v_hex IS NULL OR v_hex !~ '^[0-9a-f]{64}$' THEN
        RAISE EXCEPTION 'vault key is not set in this session'
            USING ERRCODE = 'TS003',
            DETAIL = 'The setting telestream.vault_key must be 64 hexadecimal digits.',
            HINT = 'The loader sets it from its key file; '
                'in psql: SELECT set_config(''telestream.vault_key'', …, true).';
    END IF;
    v_key := decode(v_hex, 'hex');
    p_inner := decode(repeat('36', 64), 'hex');
    p_outer := decode(repeat('5c', 64), 'hex');
    FOR v_i IN 0 .. 31 LOOP
        p_inner := set_byte(p_inner, v_i, get_byte(v_key, v_i) # 54);
        p_outer := set_byte(p_outer, v_i, get_byte(v_key, v_i) # 92);
    END LOOP;
    p_cipher_key := sha256('telestream vault cipher'::bytea || v_key);
END
$$;
COMMENT ON FUNCTION vault._pads() IS
'Pads of the keyed hash and the cipher key, from the session''s vault key';
REVOKE ALL ON FUNCTION vault._pads() FROM PUBLIC;
