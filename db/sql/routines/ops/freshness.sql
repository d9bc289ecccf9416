CREATE OR REPLACE VIEW ops.freshness AS
SELECT
    d.dataset,
    (
        SELECT max(w.event_at) FROM ops.watermark AS w
        WHERE w.dataset = d.dataset
    ) AS newest_event_at,
    (
        SELECT max(b.finished_at) FROM ops.batch AS b
        WHERE b.dataset = d.dataset
    ) AS last_loaded_at,
    (
        SELECT count(*) FROM (
            SELECT DISTINCT
                p.rollup_name,
                p.bucket
            FROM rollup.pending AS p
            -- Customers are in no rollup of their own.
            WHERE d.dataset = CASE WHEN p.rollup_name LIKE 'network%' THEN 'network_event' ELSE 'cdr' END
        ) AS b
    ) AS pending_buckets
FROM (VALUES ('cdr'), ('network_event'), ('customer')) AS d (dataset);
COMMENT ON VIEW ops.freshness IS 'How far each dataset has come';
COMMENT ON COLUMN ops.freshness.dataset IS 'cdr, network_event or customer';
COMMENT ON COLUMN ops.freshness.newest_event_at IS
'Latest event time in Silver; of customers the latest change that a CRM told of';
COMMENT ON COLUMN ops.freshness.last_loaded_at IS 'When its last batch was finished';
COMMENT ON COLUMN ops.freshness.pending_buckets IS 'Buckets of rollups that wait for a refresh';
GRANT SELECT ON ops.freshness
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
