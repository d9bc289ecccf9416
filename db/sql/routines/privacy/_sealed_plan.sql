-- requires: vault/_pads.sql
-- Returns what is to be erased, encrypted with the vault key, as it is kept while the erasure runs.
CREATE OR REPLACE FUNCTION privacy._sealed_plan(p_plan jsonb)
RETURNS bytea
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_pads record := vault._pads();
    v_start bytea := public.gen_random_bytes(16);
BEGIN
    RETURN v_start || public.encrypt_iv(convert_to(p_plan::text, 'UTF8'), v_pads.p_cipher_key, v_start, 'aes-cbc');
END
$$;
COMMENT ON FUNCTION privacy._sealed_plan(jsonb) IS 'What is to be erased, encrypted';
REVOKE ALL ON FUNCTION privacy._sealed_plan(jsonb) FROM PUBLIC;
