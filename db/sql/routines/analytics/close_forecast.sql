-- Shows a version to readers and drops those that are too old, with those whose run died: only one run is
-- under way at a time, so any other without an end has none.
CREATE OR REPLACE FUNCTION analytics.close_forecast(p_forecast_id bigint, p_cells integer)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE analytics.forecast AS f
    SET finished_at = clock_timestamp(), cells = p_cells
    WHERE f.forecast_id = p_forecast_id;
    DELETE FROM analytics.forecast AS f
    WHERE f.forecast_id < p_forecast_id
        AND (
            f.finished_at IS NULL
            OR f.made_at < now() - (SELECT s.value::interval FROM ops.setting AS s WHERE s.name = 'forecast_kept')
        );
$$;
COMMENT ON FUNCTION analytics.close_forecast(bigint, integer) IS
'Shows a version of the capacity forecast to readers, and drops old ones';
REVOKE ALL ON FUNCTION analytics.close_forecast(bigint, integer) FROM PUBLIC;
