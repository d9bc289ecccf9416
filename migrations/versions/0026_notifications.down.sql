SET LOCAL ROLE telestream_owner;

DELETE FROM ops.pii_class
WHERE schema_name = 'ops' AND table_name IN ('notification_channel', 'notification');
DELETE FROM quality.rule
WHERE dataset = 'customer' AND rule = 'source_on_time';
DROP TABLE ops.notification;
DROP TABLE ops.notification_channel;

RESET ROLE;
