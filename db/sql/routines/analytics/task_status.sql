CREATE OR REPLACE VIEW analytics.task_status AS
SELECT
    t.task,
    t.position,
    t.is_enabled,
    t.description,
    t.is_enabled AND NOT EXISTS (
        SELECT FROM analytics.run AS d
        WHERE d.task = t.task AND d.status = 'done' AND d.finished_at > now() - interval '25 hours'
    ) AS is_overdue,
    r.run_id,
    r.status,
    r.started_at,
    extract(EPOCH FROM r.finished_at - r.started_at)::double precision AS seconds,
    r.rows,
    r.result
FROM analytics.task AS t
LEFT JOIN LATERAL (
    SELECT l.* FROM analytics.run AS l
    WHERE l.task = t.task
    ORDER BY l.run_id DESC
    LIMIT 1
) AS r ON true;
COMMENT ON VIEW analytics.task_status IS 'The tasks and the last run of each';
COMMENT ON COLUMN analytics.task_status.task IS 'Name, as telestream analytics run takes it';
COMMENT ON COLUMN analytics.task_status.position IS 'Order in which the schedule runs them';
COMMENT ON COLUMN analytics.task_status.is_enabled IS 'False: the schedule leaves it out';
COMMENT ON COLUMN analytics.task_status.description IS 'What it does, for people';
COMMENT ON COLUMN analytics.task_status.is_overdue IS
'It is enabled, and no run has ended well for a day and an hour';
COMMENT ON COLUMN analytics.task_status.run_id IS 'Key of the last run; null: never, as all that follows';
COMMENT ON COLUMN analytics.task_status.status IS 'running (or it died with its connection), done, failed';
COMMENT ON COLUMN analytics.task_status.started_at IS 'When it began';
COMMENT ON COLUMN analytics.task_status.seconds IS 'How long it took';
COMMENT ON COLUMN analytics.task_status.rows IS 'Rows it wrote';
COMMENT ON COLUMN analytics.task_status.result IS 'What came of it, or the error';
GRANT SELECT ON analytics.task_status
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
