SET LOCAL ROLE telestream_owner;

DELETE FROM ops.pii_class
WHERE schema_name = 'ops' AND table_name = 'batch' AND column_name = 'trace_context';
ALTER TABLE ops.batch DROP COLUMN trace_context;

RESET ROLE;
