DELETE FROM ops.pii_class
WHERE
    schema_name = 'quality'
    AND table_name IN (
        'expectation', 'measurement', 'expectation_result', 'incident', 'maintenance', 'check_state'
    );
DELETE FROM ops.setting
WHERE name = 'quality_history';
DROP TABLE quality.check_state;
DROP TABLE quality.maintenance;
DROP TABLE quality.incident;
DROP TABLE quality.expectation_result;
DROP TABLE quality.measurement;
DELETE FROM quality.rule AS r
USING quality.expectation AS e
WHERE r.dataset = e.dataset AND r.rule = e.rule;
DROP TABLE quality.expectation;
