-- requires: silver/enrol_network_event.sql, bronze/staged_network_event.sql, quality/_apply_rules.sql
-- requires: quality/_close_batch.sql, ops/_lock_staged_batch.sql, rollup/_mark.sql, rollup/_merge_sql.sql
-- Takes one staged batch of network events from Bronze to Silver within the caller's transaction: rules,
-- quarantine, surrogates, insert of what is new; adds the new rows to their 5-minute windows, so that Gold
-- equals Silver at every commit; asserts that nothing was lost. Calls enrol_network_event itself where the
-- caller has not.
CREATE OR REPLACE PROCEDURE silver.refine_network_event(p_batch_id bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '128MB'
SET enable_nestloop = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_staged bigint;
    v_refused bigint;
    v_new record;
BEGIN
    PERFORM ops._lock_staged_batch(p_batch_id, 'network_event');
    -- A window computed anew from the facts must not miss those of a batch in flight, nor count them twice.
    PERFORM pg_advisory_xact_lock_shared(7301006);
    IF coalesce(current_setting('telestream.enrolled_batch', true), '') <> p_batch_id::text THEN
        PERFORM silver.enrol_network_event(
            p_batch_id,
            (
                SELECT array_agg(DISTINCT b.subscriber) FROM bronze.network_event AS b
                WHERE b.batch_id = p_batch_id
            ),
            (SELECT array_agg(DISTINCT b.cell_id) FROM bronze.network_event AS b WHERE b.batch_id = p_batch_id)
        );
    END IF;

    SELECT r.o_staged, r.o_refused INTO v_staged, v_refused FROM quality._apply_rules(p_batch_id) AS r;

    -- A subscriber or cell that enrol has not made known turns into a null key here, and the column's NOT NULL
    -- stops the batch: nothing is ever attached to the wrong or to no one silently.
    EXECUTE format(
        $sql$
        WITH ins AS (
            INSERT INTO silver.fact_network_event (
                event_at, event_id, batch_id, source_line, subscriber_id, cell_key,
                rsrp_dbm, rsrq_db, sinr_db, latency_ms, throughput_up_kbps, throughput_down_kbps,
                packet_loss_pct, is_late, event_type, technology, source_system, outcome, severity, cause, payload
            )
            SELECT
                b.event_at, md5(b.source_system || E'\x1f' || b.event_id)::uuid, b.batch_id, b.line,
                CASE WHEN b.subscriber IS NULL THEN 0 ELSE i.subscriber_id END,
                CASE WHEN b.cell_id IS NULL THEN 0 ELSE k.cell_key END,
                b.rsrp_dbm, b.rsrq_db, b.sinr_db, b.latency_ms, b.throughput_up_kbps, b.throughput_down_kbps,
                b.packet_loss_pct, coalesce(b.is_late, false), b.event_type, coalesce(b.technology, 'unknown'),
                b.source_system, b.outcome, b.severity, b.cause, b.payload::jsonb
            FROM bronze.staged_network_event(%1$s) AS b
            LEFT JOIN pg_temp._identity AS i ON b.subscriber = i.identity
            LEFT JOIN silver.dim_network_cell AS k ON b.cell_id = k.cell_id
            %2$s
            ON CONFLICT (event_at, event_id) DO NOTHING
            RETURNING
                event_at, cell_key, technology, event_type, outcome, is_late, source_system, rsrp_dbm, sinr_db,
                latency_ms, packet_loss_pct, throughput_up_kbps, throughput_down_kbps
        ),
        merged AS (%3$s RETURNING t.bucket),
        moved AS (
            INSERT INTO ops.watermark AS w (dataset, source, event_at)
            SELECT 'network_event', n.source_system, max(n.event_at)
            FROM ins AS n
            GROUP BY n.source_system
            ORDER BY n.source_system
            ON CONFLICT (dataset, source) DO UPDATE
            SET event_at = greatest(w.event_at, excluded.event_at), updated_at = clock_timestamp()
        )
        SELECT
            t.*,
            (SELECT array_agg(DISTINCT m.bucket) FROM merged AS m) AS buckets
        FROM (
            SELECT
                count(*) AS loaded, count(*) FILTER (WHERE n.is_late) AS late,
                min(n.event_at) AS min_at, max(n.event_at) AS max_at
            FROM ins AS n
        ) AS t
        $sql$,
        p_batch_id,
        CASE
            WHEN v_refused > 0 THEN format(
                'WHERE b.line NOT IN (SELECT q.line FROM quality.quarantine AS q WHERE q.batch_id = %s)', p_batch_id
            )
            ELSE ''
        END,
        rollup._merge_sql('network_5m', 'ins')
    ) INTO v_new;

    PERFORM rollup._mark('silver.fact_network_event', v_new.buckets, p_batch_id);
    PERFORM quality._close_batch(
        p_batch_id, v_staged, v_refused, v_new.loaded, v_new.late, v_new.min_at, v_new.max_at
    );
END
$$;
COMMENT ON PROCEDURE silver.refine_network_event IS
'Takes one staged batch of network events from Bronze to Silver and Gold in the caller''s transaction';
REVOKE ALL ON PROCEDURE silver.refine_network_event(bigint) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE silver.refine_network_event(bigint) TO telestream_consumer, telestream_loader;
