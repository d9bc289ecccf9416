-- Fourth step of a rotation: replaces what was made with the old key, for the next p_rows persons. Returns
-- how many surrogates are left. Needs no key.
CREATE OR REPLACE FUNCTION vault.rotate_move(p_rows integer)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_key record;
    v_walked_to bigint;
BEGIN
    SELECT k.key_id, k.walked_to, k.walk_until INTO v_key
    FROM vault.key AS k
    WHERE k.state = 'current' AND EXISTS (SELECT FROM vault.key AS o WHERE o.state = 'retiring')
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    WITH slice AS MATERIALIZED (
        SELECT r.subscriber_id, r.token, r.identity_encrypted
        FROM vault.rotated AS r
        WHERE r.subscriber_id > v_key.walked_to
        ORDER BY r.subscriber_id
        LIMIT p_rows
    ),
    moved AS (
        UPDATE vault.subscriber AS s
        SET token = l.token, key_id = v_key.key_id, identity_encrypted = l.identity_encrypted
        FROM slice AS l
        WHERE s.subscriber_id = l.subscriber_id AND s.identity_encrypted IS NOT NULL
    )
    SELECT max(l.subscriber_id) INTO v_walked_to FROM slice AS l;
    v_walked_to := coalesce(v_walked_to, v_key.walk_until);
    UPDATE vault.key AS k SET walked_to = v_walked_to WHERE k.key_id = v_key.key_id;
    RETURN v_key.walk_until - v_walked_to;
END
$$;
COMMENT ON FUNCTION vault.rotate_move(integer) IS
'Replaces what the old key made by what the new one made, for the next persons; returns how many are left';
REVOKE ALL ON FUNCTION vault.rotate_move(integer) FROM PUBLIC;
