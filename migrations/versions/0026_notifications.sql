SET LOCAL ROLE telestream_owner;

CREATE TABLE ops.notification_channel (
    channel text PRIMARY KEY CHECK (channel IN ('slack', 'pagerduty', 'email')),
    is_enabled boolean NOT NULL DEFAULT false,
    min_severity text NOT NULL CHECK (min_severity IN ('minor', 'major', 'critical')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity',
    problem text
);
COMMENT ON TABLE ops.notification_channel IS
'Ways by which people are told of alerts; addresses and keys are settings of the sender, not here';
COMMENT ON COLUMN ops.notification_channel.channel IS 'slack, pagerduty or email';
COMMENT ON COLUMN ops.notification_channel.is_enabled IS 'Whether alerts from now on are queued for it';
COMMENT ON COLUMN ops.notification_channel.min_severity IS
'Only alerts at least as severe: minor, major or critical';
COMMENT ON COLUMN ops.notification_channel.attempts IS 'How often in a row it could not be reached';
COMMENT ON COLUMN ops.notification_channel.next_attempt_at IS 'Not to be tried before';
COMMENT ON COLUMN ops.notification_channel.problem IS 'Why it could not be reached last; null: it was';
INSERT INTO ops.notification_channel (channel, min_severity) VALUES
('slack', 'minor'), ('pagerduty', 'critical'), ('email', 'major');

CREATE TABLE ops.notification (
    outbox_id bigint NOT NULL REFERENCES ops.outbox ON DELETE CASCADE,
    channel text NOT NULL REFERENCES ops.notification_channel,
    sent_at timestamptz,
    refused text,
    PRIMARY KEY (outbox_id, channel)
);
CREATE INDEX notification_waiting ON ops.notification (channel, outbox_id)
WHERE sent_at IS NULL AND refused IS NULL;
COMMENT ON TABLE ops.notification IS
'Alerts of ops.outbox for people: the queue of each channel, and what was sent';
COMMENT ON COLUMN ops.notification.outbox_id IS 'The alert';
COMMENT ON COLUMN ops.notification.channel IS 'Way to people, see ops.notification_channel';
COMMENT ON COLUMN ops.notification.sent_at IS 'When the receiver had taken it; null: it has not';
COMMENT ON COLUMN ops.notification.refused IS 'Why the receiver refused it for good';

INSERT INTO quality.rule (dataset, rule, dimension, severity, message) VALUES
('customer', 'source_on_time', 'timeliness', 'warning', 'a CRM has told of no change in time');
INSERT INTO quality.expectation (dataset, rule, kind, every, grace) VALUES
('customer', 'source_on_time', 'freshness', '7 days', '6 hours');

-- Classes of the columns above, as 0011 keeps them.
INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
SELECT
    'ops' AS schema_name,
    t.table_name,
    u.column_name,
    'none' AS pii_class
FROM (
    VALUES
    (
        'notification_channel',
        ARRAY['channel', 'is_enabled', 'min_severity', 'attempts', 'next_attempt_at', 'problem']
    ),
    ('notification', ARRAY['outbox_id', 'channel', 'sent_at', 'refused'])
) AS t (table_name, column_names)
CROSS JOIN LATERAL unnest(t.column_names) AS u (column_name);

RESET ROLE;
