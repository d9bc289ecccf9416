-- Switches the queue of the lineage server on or off. Off, nothing is queued any more and what waits is
-- forgotten; the events themselves stay.
CREATE OR REPLACE FUNCTION ops.queue_lineage(p_on boolean)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE ops.setting AS s SET value = CASE WHEN p_on THEN 'on' ELSE 'off' END
    WHERE s.name = 'lineage_send' AND s.value <> CASE WHEN p_on THEN 'on' ELSE 'off' END;
    IF NOT p_on THEN
        DELETE FROM ops.lineage_outbox;
    END IF;
END
$$;
COMMENT ON FUNCTION ops.queue_lineage(boolean) IS 'Switches the queue of the lineage server on or off';
REVOKE ALL ON FUNCTION ops.queue_lineage(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.queue_lineage(boolean) TO telestream_consumer;
