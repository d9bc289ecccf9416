-- Notes the weeks whose Gold was refreshed, for cells by its hours, for customers by its days: the refresh
-- takes the marks off the list in the transaction that makes Gold right, or after it. So what is noted here
-- is to be read again, whatever came late.
CREATE OR REPLACE FUNCTION analytics._note_stale_weeks()
RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO analytics.stale_week (week, mark)
    SELECT DISTINCT
        date_trunc('week', g.bucket AT TIME ZONE s.value)::date, pg_current_xact_id()::text::bigint
    FROM gone AS g
    CROSS JOIN ops.setting AS s
    WHERE g.rollup_name IN ('cell_traffic_1h', 'network_1h') AND s.name = 'time_zone'
    ON CONFLICT (week, mark) DO NOTHING;
    INSERT INTO analytics.stale_busy_week (week, mark)
    SELECT DISTINCT
        date_trunc('week', g.bucket AT TIME ZONE s.value)::date, pg_current_xact_id()::text::bigint
    FROM gone AS g
    CROSS JOIN ops.setting AS s
    WHERE g.rollup_name = 'cell_traffic_1h' AND s.name = 'time_zone'
    ON CONFLICT (week, mark) DO NOTHING;
    INSERT INTO analytics.stale_customer_week (week, mark)
    SELECT DISTINCT
        date_trunc('week', g.bucket AT TIME ZONE s.value)::date, pg_current_xact_id()::text::bigint
    FROM gone AS g
    CROSS JOIN ops.setting AS s
    WHERE g.rollup_name = 'customer_usage_1d' AND s.name = 'time_zone'
    ON CONFLICT (week, mark) DO NOTHING;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION analytics._note_stale_weeks() IS 'Notes weeks whose Gold was refreshed';
REVOKE ALL ON FUNCTION analytics._note_stale_weeks() FROM PUBLIC;
CREATE OR REPLACE TRIGGER note_stale_weeks AFTER DELETE ON rollup.pending
REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION analytics._note_stale_weeks();
