-- requires: vault/_find.sql
-- Returns the surrogates of those of the identities that the vault knows, and gives nobody a new one.
CREATE OR REPLACE FUNCTION vault.find(p_identities text[])
RETURNS TABLE (identity text, subscriber_id bigint)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.identity, f.subscriber_id FROM vault._find(p_identities) AS f WHERE f.subscriber_id IS NOT NULL
$$;
COMMENT ON FUNCTION vault.find(text[]) IS 'The surrogates of identities, as far as the vault knows them';
REVOKE ALL ON FUNCTION vault.find(text[]) FROM PUBLIC;
