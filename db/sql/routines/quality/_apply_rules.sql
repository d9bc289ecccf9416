-- Applies the rules of quality.rule to one staged batch: counts every violation, quarantines the records
-- that violate an error rule. Returns how many records are in Bronze and how many of them were refused.
CREATE OR REPLACE FUNCTION quality._apply_rules(p_batch_id bigint, OUT o_staged bigint, OUT o_refused bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_batch record;
    v_rules record;
    v_past interval;
    v_future interval;
    v_context text;
    v_violations bigint[];
BEGIN
    -- The horizon, which a rule compares with, must not rise while this batch is in flight.
    PERFORM pg_advisory_xact_lock_shared(7301008);
    SELECT b.dataset, b.promises INTO v_batch FROM ops.batch AS b WHERE b.batch_id = p_batch_id;
    SELECT
        max(s.value) FILTER (WHERE s.name = 'event_window_past')::interval,
        max(s.value) FILTER (WHERE s.name = 'event_window_future')::interval
    INTO v_past, v_future
    FROM ops.setting AS s;

    -- The fast path only counts; reasons are worked out for refused records alone.
    SELECT
        array_agg(r.rule ORDER BY r.rule) AS names,
        string_agg(format('count(*) FILTER (WHERE %s)', r.predicate), ', ' ORDER BY r.rule) AS counts,
        string_agg(format('(%s)', r.predicate), ' OR ' ORDER BY r.rule)
            FILTER (WHERE r.severity = 'error') AS any_error,
        string_agg(format('CASE WHEN %s THEN %L END', r.predicate, r.rule), ', ' ORDER BY r.rule)
            FILTER (WHERE r.severity = 'error') AS reasons,
        array_agg(r.severity = 'error' ORDER BY r.rule) AS is_error
    INTO v_rules
    FROM quality.rule AS r
    WHERE r.dataset = v_batch.dataset AND r.is_enabled AND r.predicate IS NOT NULL;

    v_context := format(
        'bronze.%I AS b CROSS JOIN (SELECT %L::text[] AS promises, %L::timestamptz AS earliest_event_at, '
        '%L::timestamptz AS latest_event_at) AS x WHERE b.batch_id = %s',
        v_batch.dataset, v_batch.promises, now() - v_past, now() + v_future, p_batch_id
    );
    EXECUTE format(
        'SELECT count(*), ARRAY[%s]::bigint[] FROM %s', coalesce(v_rules.counts, ''), v_context
    ) INTO o_staged, v_violations;

    o_refused := 0;
    IF EXISTS (
        SELECT FROM unnest(v_violations, v_rules.is_error) AS u (n, is_error) WHERE u.n > 0 AND u.is_error
    ) THEN
        EXECUTE format(
            'INSERT INTO quality.quarantine (dataset, batch_id, line, rules, reason, record) '
            'SELECT %1$L, %2$s, q.line, q.rules, '
            '(SELECT string_agg(r.message, ''; '' ORDER BY r.rule) FROM quality.rule AS r '
            'WHERE r.dataset = %1$L AND r.rule = ANY (q.rules)), q.record '
            'FROM (SELECT b.line, array_remove(ARRAY[%3$s], NULL) AS rules, '
            'to_jsonb(b) - ''batch_id'' - ''line'' AS record FROM %4$s AND (%5$s)) AS q',
            v_batch.dataset, p_batch_id, v_rules.reasons, v_context, v_rules.any_error
        );
        GET DIAGNOSTICS o_refused = ROW_COUNT;
    END IF;

    INSERT INTO quality.rule_result (batch_id, rule, violations)
    SELECT p_batch_id, u.rule, u.n FROM unnest(v_rules.names, v_violations) AS u (rule, n) WHERE u.n > 0;
END
$$;
COMMENT ON FUNCTION quality._apply_rules(bigint) IS
'Counts the violations of a staged batch and quarantines what violates an error rule';
REVOKE ALL ON FUNCTION quality._apply_rules(bigint) FROM PUBLIC;
