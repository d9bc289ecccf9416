-- requires: vault/_key_material.sql
-- Says what the session's key is to this vault: its state, unknown, or unregistered where no key was used
-- yet. Clients that hold two keys during a rotation ask it which one to use.
CREATE OR REPLACE FUNCTION vault.check_key()
RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(
    (
        SELECT k.state
        FROM vault.key AS k
        INNER JOIN vault._key_material(current_setting('telestream.vault_key', true)) AS m
            ON k.fingerprint = m.p_fingerprint
    ),
    CASE WHEN EXISTS (SELECT FROM vault.key) THEN 'unknown' ELSE 'unregistered' END
);
$$;
COMMENT ON FUNCTION vault.check_key() IS
'State of the session''s key in vault.key, or unknown, or unregistered where there is no key yet';
REVOKE ALL ON FUNCTION vault.check_key() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault.check_key() TO telestream_loader, telestream_consumer, telestream_privacy;
