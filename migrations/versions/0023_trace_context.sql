SET LOCAL ROLE telestream_owner;

ALTER TABLE ops.batch ADD COLUMN trace_context text;
COMMENT ON COLUMN ops.batch.trace_context IS
'OpenTelemetry trace of the batch (W3C traceparent: version, trace, span, flags); null: it was not traced';
INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
VALUES ('ops', 'batch', 'trace_context', 'none');

RESET ROLE;
