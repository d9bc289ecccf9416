DELETE FROM ops.pii_class
WHERE schema_name = 'privacy' AND table_name = 'erasure';
DROP TABLE privacy.erasure;
