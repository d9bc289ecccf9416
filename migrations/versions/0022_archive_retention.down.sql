SET LOCAL ROLE telestream_owner;

DELETE FROM ops.pii_class
WHERE schema_name = 'ops' AND table_name = 'archive_day' AND column_name = 'expired_at';
DELETE FROM ops.archive_day
WHERE state = 'expired';
ALTER TABLE ops.archive_day DROP COLUMN expired_at;
ALTER TABLE ops.archive_day DROP CONSTRAINT archive_day_state_check;
ALTER TABLE ops.archive_day ADD CONSTRAINT archive_day_state_check CHECK (
    state IN ('written', 'verified', 'dropped')
);
COMMENT ON COLUMN ops.archive_day.state IS
'written; verified: count and checksum read back are those of Silver; dropped: Silver has let go of it';
DELETE FROM ops.retention_rule
WHERE record_class LIKE 'archive.%';
ALTER TABLE ops.retention_rule DROP CONSTRAINT retention_rule_record_class_check;
ALTER TABLE ops.retention_rule ADD CONSTRAINT retention_rule_record_class_check CHECK (
    record_class IN (
        'bronze.cdr', 'bronze.network_event', 'bronze.customer', 'silver.cdr', 'silver.network_event',
        'quarantine', 'dead_letter'
    )
);

RESET ROLE;
