-- requires: analytics/_fraud_blocks.sql, analytics/_fraud_windows.sql, analytics/_fraud_served.sql
-- requires: analytics/_fraud_wangiri.sql, analytics/_fraud_cases.sql
-- Judges every window of 24 hours (one starts each six hours) in which a batch not yet taken up has a
-- record, and opens, extends and closes cases. p_now is the event time up to which records count; without
-- it, that of the newest. Reads the facts of a day at a time: work follows what is new, memory does not.
-- Late records make their windows be judged again, back to ops.setting's fraud_horizon. Returns how many
-- cases changed, and words.
CREATE OR REPLACE FUNCTION analytics.find_fraud(
    p_now timestamptz DEFAULT NULL, OUT o_rows bigint, OUT o_result text
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '128MB'
AS $$
DECLARE
    v_grid constant timestamptz := '2000-01-01 00:00:00+00';
    v_now timestamptz := coalesce(
        p_now, (SELECT max(w.event_at) FROM ops.watermark AS w WHERE w.dataset = 'cdr')
    );
    v_oldest timestamptz;
    v_evaluated_to timestamptz;
    v_data_from timestamptz;
    v_batches bigint[];
    v_first timestamptz;
    v_last timestamptz;
    v_dirty timestamptz[];
    v_days bigint := 0;
    v_done record;
BEGIN
    o_rows := 0;
    IF v_now IS NULL THEN
        o_result := 'there are no records yet';
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(7301019);
    SELECT p.evaluated_to, p.data_from INTO v_evaluated_to, v_data_from FROM analytics.fraud_progress AS p;
    -- What has left Silver is not judged again.
    SELECT date_bin('6 hours', greatest(v_now - s.value::interval, h.kept_from, v_grid), v_grid) INTO v_oldest
    FROM ops.setting AS s
    LEFT JOIN ops.horizon AS h ON h.dataset = 'cdr'
    WHERE s.name = 'fraud_horizon';

    -- New batches. They may commit after one that finished later: those of the last day are known one by one.
    WITH taken AS (
        INSERT INTO analytics.fraud_batch (batch_id, finished_at)
        SELECT b.batch_id, b.finished_at
        FROM ops.batch AS b
        WHERE b.dataset = 'cdr' AND b.status = 'done'
            AND b.finished_at > coalesce(
                (SELECT max(t.finished_at) FROM analytics.fraud_batch AS t) - interval '1 day', '-infinity'
            )
        ON CONFLICT (batch_id) DO NOTHING
        RETURNING batch_id
    )
    SELECT array_agg(t.batch_id), min(b.min_event_at), max(b.max_event_at)
    INTO v_batches, v_first, v_last
    FROM taken AS t
    INNER JOIN ops.batch AS b ON t.batch_id = b.batch_id
    WHERE b.rows_loaded > 0 AND b.max_event_at >= v_oldest;
    DELETE FROM analytics.fraud_batch AS t
    WHERE t.finished_at < (SELECT max(x.finished_at) FROM analytics.fraud_batch AS x) - interval '2 days';

    -- Blocks of six hours with something new: in these batches, or after the time of the run before.
    v_batches := coalesce(v_batches, '{}');
    EXECUTE format(
        $q$
        SELECT array_agg(d.block ORDER BY d.block)
        FROM (
            SELECT DISTINCT date_bin('6 hours', f.started_at, '2000-01-01 00:00:00+00') AS block
            FROM silver.fact_cdr AS f
            WHERE f.started_at >= %L AND f.started_at <= %L
                AND (f.batch_id = ANY (%L::bigint[]) OR f.started_at > %L)
        ) AS d
        $q$,
        greatest(v_oldest, least(v_first, v_evaluated_to)), v_now, v_batches, coalesce(v_evaluated_to, v_now)
    ) INTO v_dirty;

    IF v_data_from IS NULL THEN
        -- The first run knows numbers of before by their first day in Gold.
        INSERT INTO analytics.fraud_first_seen (subscriber_id, first_seen_at)
        SELECT u.subscriber_id, min(u.bucket)
        FROM rollup.customer_usage_1d AS u
        WHERE u.subscriber_id <> 0 AND u.bucket < v_oldest
        GROUP BY u.subscriber_id
        ON CONFLICT (subscriber_id) DO NOTHING;
        v_data_from := (SELECT min(s.first_seen_at) FROM analytics.fraud_first_seen AS s);
    END IF;
    UPDATE analytics.fraud_progress AS p
    SET
        evaluated_to = greatest(p.evaluated_to, v_now),
        data_from = least(v_data_from, v_dirty[1]);

    CREATE TEMPORARY TABLE _fraud_flag (
        rule text NOT NULL, subscriber_id bigint NOT NULL, starts_at timestamptz NOT NULL,
        from_at timestamptz NOT NULL, to_at timestamptz NOT NULL, score double precision NOT NULL,
        evidence jsonb NOT NULL
    ) ON COMMIT DROP;
    CREATE TEMPORARY TABLE _fraud_have (have_to timestamptz) ON COMMIT DROP;
    INSERT INTO pg_temp._fraud_have VALUES (NULL);
    CREATE TEMPORARY TABLE _fraud_block (
        subscriber_id bigint, block timestamptz, calls integer, received integer, talk_s double precision,
        call_charge double precision, charge double precision, south double precision, north double precision,
        west double precision, east double precision, first_at timestamptz, last_at timestamptz, plan_key integer
    ) ON COMMIT DROP;

    -- A day of window starts at a time. A block is in the windows that start with it and in the 18 hours before.
    FOR v_first, v_last IN
        SELECT min(s.starts_at), max(s.starts_at)
        FROM (
            SELECT DISTINCT d.block - o.hours * interval '1 hour' AS starts_at
            FROM unnest(v_dirty) AS d (block)
            CROSS JOIN (VALUES (0), (6), (12), (18)) AS o (hours)
        ) AS s
        WHERE s.starts_at >= v_oldest
        GROUP BY date_bin('24 hours', s.starts_at, v_grid)
        ORDER BY 1
    LOOP
        PERFORM analytics._fraud_blocks(v_first, v_last + interval '24 hours', v_now);
        PERFORM analytics._fraud_windows(v_first, v_last);
        PERFORM analytics._fraud_served(v_first, v_last + interval '24 hours', v_now);
        PERFORM analytics._fraud_wangiri(v_first, v_last, v_now);
        DROP TABLE pg_temp._fraud_candidate;
        DROP TABLE pg_temp._fraud_usual;
        v_days := v_days + 1;
    END LOOP;
    SELECT c.o_opened, c.o_changed, c.o_closed INTO v_done FROM analytics._fraud_cases(v_now) AS c;
    -- Evidence and what was merged into a case go with it.
    DELETE FROM analytics.fraud_case AS c
    USING ops.setting AS s
    WHERE s.name = 'fraud_history' AND c.merged_into IS NULL
        AND c.closed_at < least(v_now, now()) - s.value::interval;
    DROP TABLE pg_temp._fraud_flag;
    DROP TABLE pg_temp._fraud_have;
    DROP TABLE pg_temp._fraud_block;
    o_rows := v_done.o_opened + v_done.o_changed + v_done.o_closed;
    o_result := format(
        '%s days judged: %s cases opened, %s grew, %s closed, %s are open',
        v_days, v_done.o_opened, v_done.o_changed, v_done.o_closed,
        (SELECT count(*) FROM analytics.fraud_case AS c WHERE c.closed_at IS NULL AND c.merged_into IS NULL)
    );
END
$$;
COMMENT ON FUNCTION analytics.find_fraud(timestamptz) IS
'Judges what is new by the rules against fraud, and opens, extends and closes cases';
REVOKE ALL ON FUNCTION analytics.find_fraud(timestamptz) FROM PUBLIC;
