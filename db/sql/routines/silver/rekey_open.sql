-- Says what there is to do for silver.rekey_pending(): up to which row, and from what time on; null:
-- nothing. Waits until no refine is under way that may still write facts by what the customers were before;
-- a refine that begins later sees what they are now. The caller commits at once, which frees the refines
-- that wait meanwhile.
CREATE OR REPLACE FUNCTION silver.rekey_open(OUT o_upto bigint, OUT o_from timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT max(k.rekey_id), min(lower(k.spans)) INTO o_upto, o_from FROM silver.customer_rekey AS k;
    IF o_upto IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(7301011);
    END IF;
END
$$;
COMMENT ON FUNCTION silver.rekey_open() IS 'What is to do for silver.rekey_pending()';
REVOKE ALL ON FUNCTION silver.rekey_open() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION silver.rekey_open() TO telestream_loader;
