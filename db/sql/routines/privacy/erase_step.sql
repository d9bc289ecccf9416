-- requires: privacy/_opened_plan.sql, privacy/_sealed_plan.sql, privacy/_people_step.sql
-- requires: privacy/_scrub_texts.sql
-- requires: privacy/_scrub_bronze.sql, privacy/_scrub_quarantine.sql, privacy/_scrub_dead_letters.sql
-- requires: privacy/_unlink_cdrs.sql, privacy/_unlink_events.sql, privacy/_scrub_batches.sql
-- requires: privacy/_search.sql
-- requires: privacy/_again_step.sql, privacy/_settle.sql, privacy/_summed.sql
-- Does the next slice of an erasure in the caller's transaction, and says which step it was, how many rows
-- it changed and whether all is done. The caller commits and calls again; after a crash the next call goes
-- on. The step cache is the caller's own: it empties the cache, then says how many answers there were. Needs
-- the vault key in the session.
CREATE OR REPLACE FUNCTION privacy.erase_step(
    p_erasure_id bigint, p_cache bigint DEFAULT NULL, OUT o_step text, OUT o_rows bigint, OUT o_done boolean
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET jit = off
AS $$
DECLARE
    v_erasure record;
    v_plan jsonb;
    v_people record;
    v_again record;
    v_counts jsonb := '{}';
    v_next text;
    v_cursor text;
    v_from bigint;
    v_to bigint;
    v_day timestamptz;
    v_slice record;
    v_recent bigint[];
BEGIN
    SELECT e.* INTO v_erasure FROM privacy.erasure AS e WHERE e.erasure_id = p_erasure_id FOR UPDATE;
    IF v_erasure.erasure_id IS NULL THEN
        RAISE EXCEPTION 'there is no erasure %', p_erasure_id
            USING ERRCODE = 'TS039', HINT = 'See `telestream privacy list`.';
    END IF;
    o_step := v_erasure.step;
    o_rows := 0;
    o_done := v_erasure.state = 'done';
    IF o_done THEN
        RETURN;
    END IF;
    v_plan := privacy._opened_plan(v_erasure.plan_encrypted);
    v_next := v_erasure.step;
    v_cursor := v_erasure.step_cursor;
    -- Each slice is short; a cursor without a next slice ends its step.
    CASE v_erasure.step
        WHEN 'people' THEN
            v_people := privacy._people_step(v_plan);
            v_counts := v_people.o_counts;
            v_plan := v_people.o_plan;
            UPDATE privacy.erasure AS e
            SET scrubbed_from = v_people.o_scrubbed_from, plan_encrypted = privacy._sealed_plan(v_plan)
            WHERE e.erasure_id = p_erasure_id;
            v_next := 'bronze';
            v_cursor := NULL;
        WHEN 'bronze' THEN
            -- As many batches as make a slice of 200,000 records, one at least.
            SELECT array_agg(s.batch_id) AS batches, max(s.batch_id) AS last INTO v_slice
            FROM (
                SELECT b.batch_id, sum(b.rows_in) OVER (ORDER BY b.batch_id) - b.rows_in AS before
                FROM ops.batch AS b
                WHERE b.batch_id > coalesce(
                    v_cursor::bigint,
                    (
                        SELECT min(o.batch_id) - 1
                        FROM (
                            SELECT min(c.batch_id) AS batch_id FROM bronze.cdr AS c
                            UNION ALL
                            SELECT min(c.batch_id) FROM bronze.network_event AS c
                            UNION ALL
                            SELECT min(c.batch_id) FROM bronze.customer AS c
                        ) AS o
                    )
                )
                ORDER BY b.batch_id
                LIMIT 500
            ) AS s
            WHERE s.before < 200000;
            v_counts := privacy._scrub_bronze(v_plan, v_slice.batches);
            v_cursor := v_slice.last::text;
            IF v_cursor IS NULL THEN
                v_next := 'quarantine';
            END IF;
        WHEN 'quarantine' THEN
            v_from := coalesce(v_cursor::bigint, 0);
            SELECT max(q.quarantine_id) + 1 INTO v_to
            FROM (
                SELECT r.quarantine_id FROM quality.quarantine AS r
                WHERE r.quarantine_id >= v_from
                ORDER BY r.quarantine_id
                LIMIT 20000
            ) AS q;
            v_counts := privacy._scrub_quarantine(v_plan, NULL, v_from, v_to);
            v_cursor := v_to::text;
            IF v_cursor IS NULL THEN
                v_next := 'dead_letters';
            END IF;
        WHEN 'dead_letters' THEN
            v_from := coalesce(v_cursor::bigint, 0);
            SELECT max(d.dead_letter_id) + 1 INTO v_to
            FROM (
                SELECT l.dead_letter_id FROM ops.dead_letter AS l
                WHERE l.dead_letter_id >= v_from
                ORDER BY l.dead_letter_id
                LIMIT 5000
            ) AS d;
            v_counts := privacy._scrub_dead_letters(v_plan, NULL, v_from, v_to);
            v_cursor := v_to::text;
            IF v_cursor IS NULL THEN
                v_next := 'texts';
            END IF;
        WHEN 'texts' THEN
            v_counts := privacy._scrub_texts(v_plan);
            v_next := 'cdrs';
        WHEN 'cdrs' THEN
            SELECT f.started_at INTO v_day
            FROM silver.fact_cdr AS f
            WHERE f.started_at >= coalesce(v_cursor::timestamptz, '-infinity')
            ORDER BY f.started_at
            LIMIT 1;
            v_day := date_trunc('day', v_day, 'UTC');
            v_counts := privacy._unlink_cdrs(v_plan, v_erasure.policy, v_day, v_day + interval '1 day', NULL);
            v_cursor := (v_day + interval '1 day')::text;
            IF v_cursor IS NULL THEN
                v_next := 'events';
            END IF;
        WHEN 'events' THEN
            SELECT f.event_at INTO v_day
            FROM silver.fact_network_event AS f
            WHERE f.event_at >= coalesce(v_cursor::timestamptz, '-infinity')
            ORDER BY f.event_at
            LIMIT 1;
            v_day := date_trunc('day', v_day, 'UTC');
            v_counts := privacy._unlink_events(v_plan, v_erasure.policy, v_day, v_day + interval '1 day', NULL);
            v_cursor := (v_day + interval '1 day')::text;
            IF v_cursor IS NULL THEN
                v_next := 'cache';
            END IF;
        WHEN 'cache' THEN
            IF p_cache IS NOT NULL THEN
                v_counts := jsonb_build_object('cached answers', p_cache);
                v_next := 'search';
            END IF;
        WHEN 'search' THEN
            SELECT coalesce(array_agg(b.batch_id), '{}') INTO v_recent
            FROM ops.batch AS b
            WHERE b.finished_at >= v_erasure.scrubbed_from;
            SELECT min(s.name COLLATE "C") INTO v_cursor
            FROM privacy._searched_tables() AS s
            WHERE s.name COLLATE "C" > coalesce(v_erasure.step_cursor, '') COLLATE "C";
            IF v_cursor IS NULL THEN
                v_next := 'again';
            ELSIF privacy._search(v_plan, v_cursor, v_recent, false) > 0 THEN
                v_next := 'people';
            END IF;
        WHEN 'again' THEN
            -- What came meanwhile, so that little is left to do while loads wait.
            v_again := privacy._again_step(v_erasure.scrubbed_from, v_plan, v_erasure.policy);
            v_counts := v_again.o_counts;
            UPDATE privacy.erasure AS e
            SET scrubbed_from = v_again.o_scrubbed_from, plan_encrypted = privacy._sealed_plan(v_again.o_plan)
            WHERE e.erasure_id = p_erasure_id;
            IF v_again.o_found > 0 THEN
                v_next := 'people';
            ELSIF v_again.o_is_last THEN
                v_next := 'settle';
            END IF;
        WHEN 'settle' THEN
            o_done := privacy._settle(p_erasure_id, v_plan);
            IF o_done THEN
                RETURN;
            END IF;
            SELECT e.counts INTO v_erasure.counts FROM privacy.erasure AS e WHERE e.erasure_id = p_erasure_id;
            v_next := 'people';
    END CASE;
    SELECT coalesce(sum(c.value::bigint), 0) INTO o_rows FROM jsonb_each_text(v_counts) AS c;
    IF v_next = 'people' AND v_erasure.rounds >= 4 THEN
        RAISE EXCEPTION 'loads bring the person of erasure % back again and again', p_erasure_id
            USING ERRCODE = 'TS039',
            DETAIL = format('It began anew %s times; the last step was %s.', v_erasure.rounds, v_erasure.step),
            HINT = 'Take the person out of the source, stop its loads, then `telestream privacy erase --resume`.';
    END IF;
    UPDATE privacy.erasure AS e
    SET
        step = v_next,
        step_cursor = CASE WHEN v_next = v_erasure.step THEN v_cursor END,
        rounds = e.rounds + (v_next = 'people')::integer,
        counts = privacy._summed(v_erasure.counts, v_counts)
    WHERE e.erasure_id = p_erasure_id;
END
$$;
COMMENT ON FUNCTION privacy.erase_step(bigint, bigint) IS 'Does the next slice of an erasure';
REVOKE ALL ON FUNCTION privacy.erase_step(bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION privacy.erase_step(bigint, bigint) TO telestream_privacy;
