-- requires: quality/_score_between.sql
-- Returns the statement that measures an expectation in [$1, $2): subject, value, support and parts. Names of
-- relation and columns come from the rule; quality._expectation_guard has let only known ones in.
CREATE OR REPLACE FUNCTION quality._measure_sql(p_rule quality.expectation)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_from text := CASE p_rule.relation
        WHEN 'fact' THEN format('silver.%I', 'fact_' || p_rule.dataset)
        ELSE format('rollup.%I', coalesce(p_rule.relation, ''))
    END;
    v_time text := CASE
        WHEN p_rule.relation <> 'fact' THEN 'bucket'
        WHEN p_rule.dataset = 'cdr' THEN 'started_at'
        ELSE 'event_at'
    END;
    v_weight text := CASE WHEN p_rule.weight IS NULL THEN '1' ELSE format('r.%I', p_rule.weight) END;
    v_dimension text;
    v_counts text;
    v_value text;
BEGIN
    IF p_rule.kind = 'score' THEN
        RETURN format(
            'SELECT '''' AS subject, s.o_value AS value, s.o_rows AS support, NULL::jsonb AS parts '
            'FROM quality._score_between(%L, %L, $1, $2) AS s',
            p_rule.dataset, p_rule.column_name
        );
    END IF;
    IF p_rule.statistic = 'psi' THEN
        RETURN format(
            'SELECT '''' AS subject, NULL::double precision AS value, sum(c.n)::double precision AS support, '
            'jsonb_object_agg(c.part, c.n) AS parts FROM ('
            'SELECT coalesce(r.%I::text, ''(none)'') AS part, sum(%s) AS n FROM %s AS r '
            'WHERE r.%I >= $1 AND r.%4$I < $2 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 200) AS c',
            p_rule.column_name, v_weight, v_from, v_time
        );
    END IF;
    v_dimension := CASE p_rule.column_name
        WHEN 'cell_key' THEN 'dim_network_cell'
        WHEN 'region_key' THEN 'dim_region'
        WHEN 'plan_key' THEN 'dim_service_plan'
    END;
    v_counts := CASE p_rule.statistic
        WHEN 'share' THEN format('r.%I::text = ANY (%L::text[])', p_rule.column_name, p_rule.among)
        WHEN 'null_share' THEN format('r.%I IS NULL', p_rule.column_name)
        WHEN 'unknown_share' THEN format('r.%I = 0', p_rule.column_name) || CASE
            WHEN v_dimension IS NULL THEN ''
            ELSE format(
                ' OR r.%I IN (SELECT d.%1$I FROM silver.%I AS d WHERE d.is_placeholder)',
                p_rule.column_name, v_dimension
            )
        END
    END;
    v_value := CASE p_rule.statistic
        WHEN 'rows' THEN format('coalesce(sum(%s), 0)', v_weight)
        WHEN 'distinct' THEN format('count(DISTINCT r.%I)', p_rule.column_name)
        WHEN 'mean' THEN format('sum(r.%I)::double precision / nullif(sum(%s), 0)', p_rule.column_name, v_weight)
        ELSE format(
            '100.0 * coalesce(sum(%s) FILTER (WHERE %s), 0) / nullif(sum(%1$s), 0)', v_weight, v_counts
        )
    END;
    RETURN format(
        'SELECT %s AS subject, (%s)::double precision AS value, '
        'coalesce(sum(%s), 0)::double precision AS support, NULL::jsonb AS parts '
        'FROM %s AS r WHERE r.%I >= $1 AND r.%5$I < $2 %s ORDER BY 3 DESC LIMIT 1001',
        CASE
            WHEN p_rule.by_column IS NULL THEN ''''''
            ELSE format(
                'CASE WHEN grouping(r.%I) = 1 THEN '''' ELSE coalesce(r.%1$I::text, ''(none)'') END',
                p_rule.by_column
            )
        END,
        v_value, v_weight, v_from, v_time,
        CASE
            WHEN p_rule.by_column IS NULL THEN ''
            ELSE format('GROUP BY GROUPING SETS ((), (r.%I))', p_rule.by_column)
        END
    );
END
$$;
COMMENT ON FUNCTION quality._measure_sql(quality.expectation) IS 'The statement that measures an expectation';
REVOKE ALL ON FUNCTION quality._measure_sql(quality.expectation) FROM PUBLIC;
