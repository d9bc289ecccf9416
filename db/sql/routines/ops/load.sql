-- What ops.batch tells without where it came from: names of files may say of whom the records are.
CREATE OR REPLACE VIEW ops.load AS
SELECT
    b.batch_id,
    b.dataset,
    b.source_kind,
    b.started_at,
    b.finished_at,
    b.rows_in,
    b.rows_loaded,
    b.rows_duplicate,
    b.rows_quarantined,
    b.rows_late,
    b.min_event_at,
    b.max_event_at
FROM ops.batch AS b
WHERE b.status = 'done';
COMMENT ON VIEW ops.load IS
'Batches that are done, and what became of their rows; name a dataset and filter on finished_at for speed';
COMMENT ON COLUMN ops.load.batch_id IS 'Key of ops.batch';
COMMENT ON COLUMN ops.load.dataset IS 'cdr, network_event or customer';
COMMENT ON COLUMN ops.load.source_kind IS 'file, kafka or replay';
COMMENT ON COLUMN ops.load.started_at IS 'When it was begun';
COMMENT ON COLUMN ops.load.finished_at IS 'When it was committed';
COMMENT ON COLUMN ops.load.rows_in IS 'Records that arrived';
COMMENT ON COLUMN ops.load.rows_loaded IS 'Of these, new in Silver';
COMMENT ON COLUMN ops.load.rows_duplicate IS 'Of these, known already';
COMMENT ON COLUMN ops.load.rows_quarantined IS 'Of these, refused';
COMMENT ON COLUMN ops.load.rows_late IS 'Of those loaded, further behind the stream than is allowed';
COMMENT ON COLUMN ops.load.min_event_at IS 'Earliest event';
COMMENT ON COLUMN ops.load.max_event_at IS 'Latest event';
GRANT SELECT ON ops.load
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
