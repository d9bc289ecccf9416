-- Returns how many numbers wait for silver.rekey_pending().
CREATE OR REPLACE FUNCTION silver.rekey_waiting()
RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(DISTINCT k.subscriber_id) FROM silver.customer_rekey AS k
$$;
COMMENT ON FUNCTION silver.rekey_waiting() IS 'How many numbers wait for silver.rekey_pending()';
REVOKE ALL ON FUNCTION silver.rekey_waiting() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION silver.rekey_waiting() TO telestream_loader, telestream_privacy;
