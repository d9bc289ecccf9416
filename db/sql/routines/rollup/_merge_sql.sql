-- Returns the statement that adds the rows of p_rows (a relation with the columns of the rollup's source) to
-- a merged rollup: the rollup's one definition, with ON CONFLICT adding sums and keeping extremes. Keys go in
-- order, so that two consumers that add to the same buckets wait for each other and never deadlock.
CREATE OR REPLACE FUNCTION rollup._merge_sql(p_rollup text, p_rows text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format(
        'INSERT INTO rollup.%1$I AS t %2$s ORDER BY 1, 2, 3 ON CONFLICT (%3$s) DO UPDATE SET %4$s',
        d.rollup_name || '_v' || d.version,
        replace(d.select_sql, 'FROM ' || d.source, 'FROM ' || p_rows),
        string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FILTER (WHERE a.is_key),
        string_agg(
            CASE
                WHEN a.attname LIKE '%\_min' THEN format('%1$I = least(t.%1$I, excluded.%1$I)', a.attname)
                WHEN a.attname LIKE '%\_max' THEN format('%1$I = greatest(t.%1$I, excluded.%1$I)', a.attname)
                ELSE format('%1$I = t.%1$I + excluded.%1$I', a.attname)
            END, ', ' ORDER BY a.attnum
        ) FILTER (WHERE NOT a.is_key)
    )
    FROM rollup.definition AS d
    CROSS JOIN LATERAL (
        SELECT c.attname, c.attnum, c.attnum = ANY (i.indkey) AS is_key
        FROM pg_attribute AS c
        INNER JOIN pg_index AS i ON c.attrelid = i.indrelid AND i.indisprimary
        WHERE c.attrelid = to_regclass(format('rollup.%I', d.rollup_name || '_v' || d.version))
            AND c.attnum > 0 AND NOT c.attisdropped
    ) AS a
    WHERE d.rollup_name = p_rollup
    GROUP BY d.rollup_name, d.version, d.select_sql, d.source
$$;
COMMENT ON FUNCTION rollup._merge_sql(text, text) IS 'The statement that adds rows to a merged rollup';
REVOKE ALL ON FUNCTION rollup._merge_sql(text, text) FROM PUBLIC;
