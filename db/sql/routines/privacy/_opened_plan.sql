-- requires: vault/_pads.sql
-- Returns what privacy._sealed_plan() has encrypted.
CREATE OR REPLACE FUNCTION privacy._opened_plan(p_sealed bytea)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_pads record := vault._pads();
BEGIN
    RETURN convert_from(
        public.decrypt_iv(
            substring(p_sealed FROM 17), v_pads.p_cipher_key, substring(p_sealed FROM 1 FOR 16), 'aes-cbc'
        ), 'UTF8'
    )::jsonb;
EXCEPTION WHEN external_routine_invocation_exception OR data_exception THEN
    RAISE EXCEPTION 'the vault key does not open what is to be erased'
        USING ERRCODE = 'TS035', HINT = 'Use the key that the erasure was begun with.';
END
$$;
COMMENT ON FUNCTION privacy._opened_plan(bytea) IS 'What is to be erased, in clear';
REVOKE ALL ON FUNCTION privacy._opened_plan(bytea) FROM PUBLIC;
