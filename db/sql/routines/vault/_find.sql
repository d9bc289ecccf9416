-- requires: vault/_pads.sql, vault/_key_in_force.sql
-- Returns each distinct identity with its token under the session's key, and its surrogate where it has
-- one. The one place that looks tokens up: between the switch of a rotation and its end a token is either
-- in vault.subscriber or still beside it.
CREATE OR REPLACE FUNCTION vault._find(p_identities text[])
RETURNS TABLE (identity text, token bytea, subscriber_id bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_pads record;
BEGIN
    v_pads := vault._pads();
    PERFORM vault._key_in_force();
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT
            u.identity, sha256(v_pads.p_outer || sha256(v_pads.p_inner || convert_to(u.identity, 'UTF8'))) AS token
        FROM (
            SELECT DISTINCT i.identity FROM unnest(p_identities) AS i (identity) WHERE i.identity IS NOT NULL
        ) AS u
    )
    SELECT a.identity, a.token, coalesce(s.subscriber_id, r.subscriber_id)
    FROM asked AS a
    LEFT JOIN vault.subscriber AS s ON a.token = s.token
    LEFT JOIN vault.rotated AS r ON a.token = r.token;
END
$$;
COMMENT ON FUNCTION vault._find(text[]) IS
'Token under the session''s key and surrogate, if it has one, of each distinct identity';
REVOKE ALL ON FUNCTION vault._find(text[]) FROM PUBLIC;
