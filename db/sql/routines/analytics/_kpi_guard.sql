-- Refuses a KPI whose expressions the detection could not run, at the moment it is written.
CREATE OR REPLACE FUNCTION analytics._kpi_guard()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'SELECT (%s)::double precision, (%s)::double precision FROM rollup.network_5m AS w '
        'WHERE w.bucket < ''1900-01-01 00:00:00+00''', new.expression, new.support
    );
    RETURN new;
EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION 'kpi % cannot be used: %', new.kpi, sqlerrm
        USING ERRCODE = 'TS010',
        DETAIL = format('Its expression is: %s; its support is: %s', new.expression, new.support),
        HINT = 'Write SQL over w, a row of rollup.network_5m, with functions named in full.';
END
$$;
COMMENT ON FUNCTION analytics._kpi_guard() IS 'Refuses a KPI whose expressions cannot run';
CREATE OR REPLACE TRIGGER kpi_guard BEFORE INSERT OR UPDATE ON analytics.kpi
FOR EACH ROW EXECUTE FUNCTION analytics._kpi_guard();
