-- requires: ops/_lineage_table.sql, ops/_lineage_written.sql, ops/_lineage_read.sql
-- requires: ops/_lineage_base.sql, ops/_record_done.sql
-- requires: ops/_gold_over.sql
-- Keeps the events of batches that are closed, of one segment, page or replay, or of the batches of a
-- stream's window: one run that brought them to Bronze and one that refined them. p_staged counts their rows
-- in Bronze.
CREATE OR REPLACE FUNCTION ops._note_batches(
    p_batches bigint[], p_staged bigint, p_source jsonb, p_parent jsonb, p_from timestamptz, p_to timestamptz
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_batch record;
    v_parameters jsonb;
    v_stage text;
    v_processing text;
    v_event jsonb;
    v_assertions jsonb;
    v_read jsonb;
BEGIN
    SELECT
        min(b.dataset) AS dataset, min(b.source_kind) AS source_kind, max(b.code_version) AS code_version,
        min(b.started_at) AS started_at, max(b.finished_at) AS finished_at, sum(b.rows_in)::bigint AS rows_in,
        sum(b.rows_loaded)::bigint AS rows_loaded, sum(b.rows_duplicate)::bigint AS rows_duplicate,
        sum(b.rows_quarantined)::bigint AS rows_quarantined, sum(b.rows_late)::bigint AS rows_late,
        min(b.min_event_at) AS min_event_at, max(b.max_event_at) AS max_event_at,
        max(b.segment_number) AS segment_number, min(b.first_line) AS first_line, max(b.next_line) AS next_line
    INTO v_batch
    FROM ops.batch AS b
    WHERE b.batch_id = ANY (p_batches);
    -- Batches that their owner has deleted meanwhile: there is nothing to tell of.
    IF v_batch.dataset IS NULL THEN
        RETURN;
    END IF;
    v_stage := CASE v_batch.source_kind
        WHEN 'file' THEN format('load.%s.segment', v_batch.dataset)
        WHEN 'api' THEN format('sync.%s.page', v_batch.dataset)
        WHEN 'kafka' THEN 'stream.' || v_batch.dataset
        ELSE 'replay.' || v_batch.dataset
    END;
    v_processing := CASE v_batch.source_kind WHEN 'kafka' THEN 'STREAMING' ELSE 'BATCH' END;
    v_parameters := jsonb_build_object(
        'batches', cardinality(p_batches), 'first_batch_id', p_batches[1],
        'last_batch_id', p_batches[cardinality(p_batches)], 'segment_number', v_batch.segment_number,
        'first_line', v_batch.first_line, 'next_line', v_batch.next_line
    );

    v_event := ops._lineage_base(
        v_stage, gen_random_uuid(), v_processing, v_batch.code_version, p_parent, p_from, p_to, v_parameters
    );
    IF v_batch.source_kind = 'replay' THEN
        p_source := ops._lineage_table('quality.quarantine');
    END IF;
    IF p_source IS NOT NULL THEN
        v_event := v_event || jsonb_build_object('inputs', jsonb_build_array(
            ops._lineage_read(p_source, v_batch.rows_in)
        ));
    END IF;
    PERFORM ops._record_done(
        v_event || jsonb_build_object('outputs', jsonb_build_array(
            ops._lineage_written(ops._lineage_table('bronze.' || v_batch.dataset), p_staged)
        )),
        v_batch.started_at, v_batch.finished_at
    );

    -- Rules of every severity: a warning is counted, and the record is loaded.
    SELECT jsonb_agg(
        jsonb_build_object(
            'assertion', r.rule, 'description', r.message, 'success', coalesce(v.violations, 0) = 0,
            'severity', CASE r.severity WHEN 'warning' THEN 'warn' ELSE r.severity END,
            'expected', '0', 'actual', coalesce(v.violations, 0)::text
        ) ORDER BY r.rule
    ) INTO v_assertions
    FROM quality.rule AS r
    LEFT JOIN (
        SELECT u.rule, sum(u.violations)::bigint AS violations
        FROM quality.rule_result AS u
        WHERE u.batch_id = ANY (p_batches)
        GROUP BY u.rule
    ) AS v USING (rule)
    WHERE r.dataset = v_batch.dataset AND r.is_enabled;
    v_read := jsonb_build_object('inputFacets', jsonb_build_object(
        'inputStatistics', ops._lineage_facet(
            'InputStatisticsInputDatasetFacet', '1-0-0', jsonb_build_object('rowCount', p_staged)
        ),
        'dataQualityMetrics', ops._lineage_facet(
            'DataQualityMetricsInputDatasetFacet', '1-0-3',
            jsonb_build_object('rowCount', v_batch.rows_in, 'columnMetrics', '{}'::jsonb)
        ),
        'dataQualityAssertions', ops._lineage_facet(
            'DataQualityAssertionsDatasetFacet', '1-1-0',
            jsonb_build_object('assertions', coalesce(v_assertions, '[]'))
        )
    ));
    v_event := ops._lineage_base(
        'refine.' || v_batch.dataset, gen_random_uuid(), v_processing, v_batch.code_version, p_parent,
        coalesce(p_from, v_batch.min_event_at), coalesce(p_to, v_batch.max_event_at),
        v_parameters || jsonb_build_object(
            'rows_in', v_batch.rows_in, 'rows_loaded', v_batch.rows_loaded,
            'rows_duplicate', v_batch.rows_duplicate, 'rows_quarantined', v_batch.rows_quarantined,
            'rows_late', v_batch.rows_late
        )
    ) || jsonb_build_object(
        'inputs', jsonb_build_array(ops._lineage_table('bronze.' || v_batch.dataset) || v_read),
        'outputs', (
            SELECT jsonb_agg(ops._lineage_written(ops._lineage_table(t.relation), t.row_count) ORDER BY t.position)
            FROM (
                SELECT 1, 'silver.fact_' || v_batch.dataset, v_batch.rows_loaded
                WHERE v_batch.dataset <> 'customer'
                UNION ALL
                SELECT 1, 'silver.customer_change', v_batch.rows_loaded WHERE v_batch.dataset = 'customer'
                UNION ALL
                SELECT 2, 'silver.dim_customer', NULL WHERE v_batch.dataset = 'customer'
                UNION ALL
                SELECT 3, 'quality.quarantine', v_batch.rows_quarantined
                UNION ALL
                SELECT 4, format('rollup.%s_v%s', d.rollup_name, d.version), NULL
                FROM rollup.definition AS d
                WHERE d.is_merged AND d.source = 'silver.fact_' || v_batch.dataset
                UNION ALL
                SELECT 5, g.name, NULL
                FROM rollup.definition AS d
                CROSS JOIN LATERAL ops._gold_over(d.rollup_name) AS g (name)
                WHERE d.is_merged AND d.source = 'silver.fact_' || v_batch.dataset
            ) AS t (position, relation, row_count)
        )
    );
    PERFORM ops._record_done(v_event, v_batch.started_at, v_batch.finished_at);
END
$$;
COMMENT ON FUNCTION ops._note_batches(bigint[], bigint, jsonb, jsonb, timestamptz, timestamptz) IS
'Keeps the lineage events of batches that are closed';
REVOKE ALL ON FUNCTION ops._note_batches(
    bigint[], bigint, jsonb, jsonb, timestamptz, timestamptz
) FROM PUBLIC;
