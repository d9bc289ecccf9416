-- requires: quality/_measure_sql.sql, quality/_built_on.sql
-- Refuses an expectation that a check could not judge, at the moment it is written, and names what is wrong.
-- Forgets what was measured under other parameters.
CREATE OR REPLACE FUNCTION quality._expectation_guard()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wrong text;
    v_hint text := 'See docs/quality.md for the parameters of each kind.';
    v_column text;
    v_grain interval;
BEGIN
    IF new.kind = 'freshness' THEN
        v_wrong := CASE
            WHEN num_nonnulls(
                new.relation, new.statistic, new.column_name, new.among, new.weight, new.by_column, new.grain,
                new.below, new.above, new.at_least, new.at_most
            ) > 0 THEN 'a freshness rule measures nothing'
            WHEN new.every IS NULL OR new.every <= interval '0' THEN 'every is missing or not positive'
            WHEN new.weekdays IS NOT NULL AND new.due_at IS NULL THEN 'weekdays need due_at'
        END;
        BEGIN
            PERFORM timezone(new.time_zone, now());
        EXCEPTION WHEN invalid_parameter_value THEN
            v_wrong := format('time zone %s is not known', new.time_zone);
            v_hint := 'Use a name of the time zone database, e.g. Europe/London.';
        END;
    ELSE
        v_wrong := CASE
            WHEN num_nonnulls(new.source, new.every, new.due_at, new.weekdays, new.time_zone) > 0
                THEN 'source, every, due_at, weekdays and time_zone belong to freshness rules'
            WHEN new.statistic IS NULL OR new.grain IS NULL THEN 'statistic or grain is missing'
            WHEN new.statistic <> ALL (CASE new.kind
                WHEN 'volume' THEN '{rows}'::text[]
                WHEN 'referential' THEN '{unknown_share}'
                WHEN 'score' THEN '{score}'
                ELSE '{distinct,mean,share,null_share,psi}'
            END) THEN format('a %s rule has no statistic %s', new.kind, new.statistic)
            WHEN (new.column_name IS NULL) <> (new.statistic = 'rows')
                THEN 'column_name is missing, or given for rows'
            WHEN (new.among IS NOT NULL) <> (new.statistic = 'share') THEN 'among belongs to share, and to it alone'
            WHEN num_nonnulls(new.below, new.above, new.at_least, new.at_most) = 0
                THEN 'there is no bound: below, above, at_least or at_most'
            WHEN new.statistic = 'psi' AND (new.at_most IS NULL OR num_nonnulls(new.below, new.above) > 0)
                THEN 'psi is judged by at_most alone'
            WHEN new.kind = 'score' AND (
                new.grain <> 'day' OR num_nonnulls(new.relation, new.weight, new.by_column) > 0
                OR num_nonnulls(new.below, new.above) > 0
                OR new.column_name NOT IN (
                    'score', 'completeness', 'validity', 'uniqueness', 'timeliness', 'consistency'
                )
            ) THEN 'a score has grain day, column_name score or a dimension, at_least and at_most'
            WHEN new.kind <> 'score' AND new.relation IS NULL THEN 'relation is missing'
            WHEN new.statistic = 'psi' AND new.by_column IS NOT NULL THEN 'psi has no by_column'
            WHEN new.statistic = 'unknown_share' AND new.column_name
                NOT IN ('cell_key', 'region_key', 'plan_key', 'customer_key', 'subscriber_id')
                THEN format('%s is no key that can be unknown', new.column_name)
        END;
    END IF;
    IF v_wrong IS NULL AND new.relation = 'fact' THEN
        v_wrong := CASE
            WHEN new.dataset NOT IN ('cdr', 'network_event') THEN format('%s has no fact', new.dataset)
            WHEN new.weight IS NOT NULL THEN 'each row of a fact counts once: no weight'
        END;
    ELSIF v_wrong IS NULL AND new.relation IS NOT NULL THEN
        SELECT d.grain INTO v_grain FROM rollup.definition AS d WHERE d.rollup_name = new.relation;
        IF v_grain IS NULL THEN
            v_wrong := format('there is no rollup %s', new.relation);
            v_hint := 'Use fact, or one of: ' || (
                SELECT string_agg(d.rollup_name, ', ' ORDER BY d.rollup_name) FROM rollup.definition AS d
            );
        ELSIF NOT EXISTS (
            SELECT FROM quality._built_on(new.relation) AS b WHERE b.source = 'silver.fact_' || new.dataset
        ) THEN
            v_wrong := format('rollup %s is not of %s', new.relation, new.dataset);
        ELSIF v_grain > ('1 ' || new.grain)::interval THEN
            v_wrong := format('the buckets of %s are longer than an hour', new.relation);
        ELSIF new.weight IS NULL THEN
            v_wrong := 'a rollup needs weight, the column that counts records';
        END IF;
    END IF;
    IF v_wrong IS NULL AND new.relation IS NOT NULL THEN
        FOREACH v_column IN ARRAY array_remove(ARRAY[new.column_name, new.weight, new.by_column], NULL) LOOP
            -- A value of a personal column would stand in the results; its count does not.
            IF EXISTS (
                SELECT FROM ops.pii_class AS p
                WHERE p.schema_name = 'silver' AND p.table_name = 'fact_' || new.dataset
                    AND p.column_name = v_column AND p.pii_class <> 'none'
                    AND (
                        v_column = new.by_column OR p.pii_class <> 'pseudonym'
                        OR new.statistic NOT IN ('distinct', 'null_share', 'unknown_share')
                    )
            ) THEN
                v_wrong := format('column %s is personal', v_column);
                v_hint := 'Of a pseudonym, distinct, null_share and unknown_share can be measured.';
            END IF;
        END LOOP;
    END IF;
    IF v_wrong IS NULL AND new.kind <> 'freshness' THEN
        BEGIN
            EXECUTE format('SELECT FROM (%s) AS m', quality._measure_sql(new))
            USING timestamptz '1900-01-01 00:00:00+00', timestamptz '1900-01-01 00:00:00+00';
        EXCEPTION WHEN OTHERS THEN
            v_wrong := sqlerrm;
            v_hint := 'Use columns of the relation: \d+ rollup.NAME, \d+ silver.fact_NAME.';
        END;
    END IF;
    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION 'expectation % of % cannot be used: %', new.rule, new.dataset, v_wrong
            USING ERRCODE = 'TS044', HINT = v_hint;
    END IF;
    IF tg_op = 'UPDATE' AND (
        new.relation, new.statistic, new.column_name, new.among, new.weight, new.by_column, new.grain
    ) IS DISTINCT FROM (
        old.relation, old.statistic, old.column_name, old.among, old.weight, old.by_column, old.grain
    ) THEN
        DELETE FROM quality.measurement AS m WHERE m.dataset = old.dataset AND m.rule = old.rule;
    END IF;
    RETURN new;
END
$$;
COMMENT ON FUNCTION quality._expectation_guard() IS 'Refuses an expectation that cannot be judged';
CREATE OR REPLACE TRIGGER expectation_guard BEFORE INSERT OR UPDATE ON quality.expectation
FOR EACH ROW EXECUTE FUNCTION quality._expectation_guard();
