-- requires: vault/_pads.sql
-- Returns the surrogates of those of the identities that the vault knows. The one place that looks people up
-- by their token without giving them a surrogate.
CREATE OR REPLACE FUNCTION vault.find(p_identities text[])
RETURNS TABLE (identity text, subscriber_id bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_pads record := vault._pads();
BEGIN
    RETURN QUERY
    SELECT u.identity, s.subscriber_id
    FROM (SELECT DISTINCT i.identity FROM unnest(p_identities) AS i (identity) WHERE i.identity IS NOT NULL) AS u
    INNER JOIN vault.subscriber AS s
        ON s.token = sha256(v_pads.p_outer || sha256(v_pads.p_inner || convert_to(u.identity, 'UTF8')));
END
$$;
COMMENT ON FUNCTION vault.find(text[]) IS 'The surrogates of identities, as far as the vault knows them';
REVOKE ALL ON FUNCTION vault.find(text[]) FROM PUBLIC;
