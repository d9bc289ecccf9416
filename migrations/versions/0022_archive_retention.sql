SET LOCAL ROLE telestream_owner;

-- It is widened.
-- squawk-ignore ban-drop-constraint
ALTER TABLE ops.retention_rule DROP CONSTRAINT retention_rule_record_class_check;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE ops.retention_rule ADD CONSTRAINT retention_rule_record_class_check CHECK (
    record_class IN (
        'bronze.cdr', 'bronze.network_event', 'bronze.customer', 'silver.cdr', 'silver.network_event',
        'archive.cdr', 'archive.network_event', 'quarantine', 'dead_letter'
    )
);
-- What a place demands of a record it demands of every copy. An operator's own maximum of Silver is not
-- taken over: it may be there because the archive keeps the rest.
INSERT INTO ops.retention_rule (record_class, jurisdiction, minimum, maximum, source)
SELECT
    'archive.' || split_part(r.record_class, '.', 2) AS record_class,
    r.jurisdiction,
    r.minimum,
    r.maximum,
    r.source
FROM ops.retention_rule AS r
WHERE r.record_class LIKE 'silver.%' AND r.jurisdiction <> '*';

-- squawk-ignore ban-drop-constraint
ALTER TABLE ops.archive_day DROP CONSTRAINT archive_day_state_check;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE ops.archive_day ADD CONSTRAINT archive_day_state_check CHECK (
    state IN ('written', 'verified', 'dropped', 'expired')
);
ALTER TABLE ops.archive_day ADD COLUMN expired_at timestamptz;
COMMENT ON COLUMN ops.archive_day.state IS
'written; verified: count and checksum read back are those of Silver; dropped: Silver has let go of it; '
'expired: so has the archive';
COMMENT ON COLUMN ops.archive_day.expired_at IS
'When the archive let go of it, being older than its maximum';
INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
VALUES ('ops', 'archive_day', 'expired_at', 'none');

RESET ROLE;
