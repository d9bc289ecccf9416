-- Adds a version of the capacity forecast, empty yet, and says which hours of Gold it is made from. The
-- first day forecast is the day of the operator that CDRs have come to: Gold has the days before it in full.
-- A quarter of an hour is allowed: a day whose last call began some minutes before midnight counts.
CREATE OR REPLACE FUNCTION analytics.open_forecast(p_now timestamptz, p_horizon integer, p_model text)
RETURNS TABLE (
    forecast_id bigint, first_day date, history_from date, from_at timestamptz, to_at timestamptz,
    time_zone text
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_zone text := (SELECT s.value FROM ops.setting AS s WHERE s.name = 'time_zone');
    v_weeks integer := (SELECT s.value::integer FROM ops.setting AS s WHERE s.name = 'forecast_weeks');
    v_newest timestamptz;
    v_forecast_id bigint;
BEGIN
    SELECT max(w.event_at) INTO v_newest FROM ops.watermark AS w WHERE w.dataset = 'cdr';
    IF v_newest IS NULL THEN
        RAISE EXCEPTION 'there is nothing in Gold to forecast from'
            USING ERRCODE = 'TS047', HINT = 'Load CDRs first: telestream load cdr.';
    END IF;
    first_day := ((least(p_now, v_newest) + interval '15 minutes') AT TIME ZONE v_zone)::date;
    history_from := first_day - 7 * v_weeks;
    from_at := history_from::timestamp AT TIME ZONE v_zone;
    to_at := first_day::timestamp AT TIME ZONE v_zone;
    time_zone := v_zone;
    INSERT INTO analytics.forecast AS f (first_day, horizon, history_from, model)
    VALUES (open_forecast.first_day, p_horizon, open_forecast.history_from, p_model)
    RETURNING f.forecast_id INTO v_forecast_id;
    forecast_id := v_forecast_id;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION analytics.open_forecast(timestamptz, integer, text) IS
'Adds a version of the capacity forecast and says which hours of Gold it is made from';
REVOKE ALL ON FUNCTION analytics.open_forecast(timestamptz, integer, text) FROM PUBLIC;
