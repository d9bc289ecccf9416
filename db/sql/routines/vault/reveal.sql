-- requires: vault/request_identity.sql, vault/identity.sql
-- Gives the identity behind a surrogate, and logs it first. It commits in between, so it cannot run inside a
-- transaction, where a ROLLBACK would take the row of the log back; and it runs with the rights of its
-- caller.
CREATE OR REPLACE PROCEDURE vault.reveal(p_subscriber_id bigint, p_reason text, INOUT p_identity text)
LANGUAGE plpgsql
AS $$
DECLARE
    v_access_id bigint;
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    v_access_id := vault.request_identity(p_subscriber_id, p_reason);
    COMMIT;
    SET LOCAL search_path = pg_catalog, pg_temp;
    p_identity := vault.identity(v_access_id);
END
$$;
COMMENT ON PROCEDURE vault.reveal IS
'Gives the identity behind a surrogate for a reason, which the access log keeps; for the privacy officer';
REVOKE ALL ON PROCEDURE vault.reveal(bigint, text, text) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE vault.reveal(bigint, text, text) TO telestream_privacy;
