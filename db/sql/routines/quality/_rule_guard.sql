-- Refuses a rule whose predicate the refine could not run, at the moment it is written.
CREATE OR REPLACE FUNCTION quality._rule_guard()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF new.predicate IS NOT NULL THEN
        BEGIN
            EXECUTE format(
                'SELECT FROM bronze.%I AS b CROSS JOIN (SELECT NULL::text[] AS promises, '
                'NULL::timestamptz AS earliest_event_at, NULL::timestamptz AS latest_event_at) AS x '
                'WHERE b.batch_id = -1 AND (%s)',
                new.dataset, new.predicate
            );
        EXCEPTION WHEN OTHERS THEN
            RAISE EXCEPTION 'rule % cannot be used: %', new.rule, sqlerrm
                USING ERRCODE = 'TS004',
                DETAIL = format('Its predicate is: %s', new.predicate),
                HINT = 'Write an SQL condition over b (the Bronze record) and x (promises, '
                    'earliest_event_at, latest_event_at), with functions named in full.';
        END;
    END IF;
    RETURN new;
END
$$;
COMMENT ON FUNCTION quality._rule_guard() IS 'Refuses a rule whose predicate cannot run';
CREATE OR REPLACE TRIGGER rule_guard BEFORE INSERT OR UPDATE ON quality.rule
FOR EACH ROW EXECUTE FUNCTION quality._rule_guard();
