-- Notes who took charge of an anomaly, the first one wins; returns whether this call was it, null where there
-- is no such anomaly.
CREATE OR REPLACE FUNCTION analytics.acknowledge(p_anomaly_id bigint, p_by text, p_note text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_before timestamptz;
BEGIN
    SELECT a.acknowledged_at INTO v_before
    FROM analytics.anomaly AS a
    WHERE a.anomaly_id = p_anomaly_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF v_before IS NOT NULL THEN
        RETURN false;
    END IF;
    UPDATE analytics.anomaly AS a
    SET acknowledged_at = clock_timestamp(), acknowledged_by = p_by, acknowledge_note = p_note
    WHERE a.anomaly_id = p_anomaly_id;
    RETURN true;
END
$$;
COMMENT ON FUNCTION analytics.acknowledge(bigint, text, text) IS
'Notes who took charge of an anomaly; the first one wins';
REVOKE ALL ON FUNCTION analytics.acknowledge(bigint, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analytics.acknowledge(bigint, text, text) TO telestream_api, telestream_engineer;
