-- Days that have left Silver stay final in Gold only as long as nobody loads into them.
DROP TABLE ops.legal_hold;
INSERT INTO ops.setting (name, value, description)
SELECT
    'bronze_retention',
    r.maximum::text,
    'Raw records of batches finished earlier than this are dropped'
FROM ops.retention_rule AS r
WHERE r.record_class = 'bronze.cdr' AND r.jurisdiction = '*' AND r.maximum IS NOT NULL;
INSERT INTO ops.setting (name, value, description)
VALUES ('bronze_retention', '7 days', 'Raw records of batches finished earlier than this are dropped')
ON CONFLICT (name) DO NOTHING;
DELETE FROM ops.setting WHERE name IN ('hot_window', 'jurisdiction');
DROP TABLE ops.retention_rule;
DROP TABLE ops.archive_column;
DROP TABLE ops.archive_day;
DELETE FROM quality.rule WHERE rule = 'before_horizon';
DROP TABLE ops.horizon;
