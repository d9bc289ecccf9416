-- Puts new alerts into the queues of the channels that are enabled for their severity, in the transaction of
-- the alerts.
CREATE OR REPLACE FUNCTION ops._queue_notifications()
RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_order CONSTANT text[] := '{minor,major,critical}';
BEGIN
    INSERT INTO ops.notification (outbox_id, channel)
    SELECT a.outbox_id, c.channel
    FROM raised AS a
    INNER JOIN ops.notification_channel AS c
        ON array_position(v_order, a.payload ->> 'severity') >= array_position(v_order, c.min_severity)
    WHERE c.is_enabled;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ops._queue_notifications() IS 'Queues new alerts for the channels to people';
REVOKE ALL ON FUNCTION ops._queue_notifications() FROM PUBLIC;
CREATE OR REPLACE TRIGGER queue_notifications AFTER INSERT ON ops.outbox
REFERENCING NEW TABLE AS raised
FOR EACH STATEMENT EXECUTE FUNCTION ops._queue_notifications();
