-- requires: privacy/_mask_sql.sql
-- Makes a view masked_<role>.<schema>_<table> for each table that has rules for the role, and drops those
-- whose rules are gone. A column without a rule is shown only if its class is none: what nobody has
-- classified is null. Repeating it changes nothing.
CREATE OR REPLACE FUNCTION privacy.apply_masking()
RETURNS TABLE (view_name text, outcome text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_view record;
    v_column record;
    v_columns text;
    v_sql text;
BEGIN
    INSERT INTO privacy.mask_salt (role, salt)
    SELECT DISTINCT r.role, public.gen_random_bytes(32) FROM privacy.masking_rule AS r
    ON CONFLICT (role) DO NOTHING;

    FOR v_view IN
        SELECT
            'masked_' || r.role AS view_schema, r.schema_name || '_' || r.table_name AS name, r.role,
            r.schema_name, r.table_name,
            to_regclass(format('%I.%I', r.schema_name, r.table_name)) AS source
        FROM privacy.masking_rule AS r
        GROUP BY r.role, r.schema_name, r.table_name
        ORDER BY r.role, r.schema_name, r.table_name
    LOOP
        SELECT string_agg(
            format(
                '%s AS %I',
                CASE
                    WHEN m.mask IS NOT NULL THEN privacy._mask_sql(m)
                    WHEN p.pii_class = 'none' THEN format('t.%I', a.attname)
                    ELSE 'NULL::' || format_type(a.atttypid, a.atttypmod)
                END,
                a.attname
            ), ', ' ORDER BY a.attnum
        )
        INTO v_columns
        FROM pg_attribute AS a
        LEFT JOIN privacy.masking_rule AS m
            ON m.role = v_view.role AND m.schema_name = v_view.schema_name AND m.table_name = v_view.table_name
            AND m.column_name = a.attname
        LEFT JOIN ops.pii_class AS p
            ON p.schema_name = v_view.schema_name AND p.table_name = v_view.table_name AND p.column_name = a.attname
        WHERE a.attrelid = v_view.source AND a.attnum > 0 AND NOT a.attisdropped;
        IF v_columns IS NULL THEN
            RAISE EXCEPTION 'masking rule for %.% cannot be used', v_view.schema_name, v_view.table_name
                USING ERRCODE = 'TS036', DETAIL = 'There is no such table.';
        END IF;
        v_sql := format(
            'CREATE OR REPLACE VIEW %I.%I WITH (security_barrier = true) AS SELECT %s FROM %I.%I AS t',
            v_view.view_schema, v_view.name, v_columns, v_view.schema_name, v_view.table_name
        );
        BEGIN
            EXECUTE v_sql;
        EXCEPTION WHEN invalid_table_definition THEN
            -- Another type or order of columns: what stands on the view is told of by the server.
            EXECUTE format('DROP VIEW %I.%I', v_view.view_schema, v_view.name);
            EXECUTE v_sql;
        END;
        EXECUTE format(
            'COMMENT ON VIEW %I.%I IS %L', v_view.view_schema, v_view.name,
            concat(obj_description(v_view.source, 'pg_class'), ' (as ', v_view.role, ' may see it)')
        );
        FOR v_column IN
            SELECT
                a.attname, col_description(a.attrelid, a.attnum) AS description, m.mask,
                coalesce(p.pii_class, 'unclassified') AS pii_class
            FROM pg_attribute AS a
            LEFT JOIN privacy.masking_rule AS m
                ON m.role = v_view.role AND m.schema_name = v_view.schema_name AND m.table_name = v_view.table_name
                AND m.column_name = a.attname
            LEFT JOIN ops.pii_class AS p
                ON p.schema_name = v_view.schema_name AND p.table_name = v_view.table_name
                AND p.column_name = a.attname
            WHERE a.attrelid = v_view.source AND a.attnum > 0 AND NOT a.attisdropped
        LOOP
            EXECUTE format(
                'COMMENT ON COLUMN %I.%I.%I IS %L', v_view.view_schema, v_view.name, v_column.attname,
                concat_ws(
                    '; ', coalesce(v_column.description, 'No description'),
                    CASE
                        WHEN v_column.mask IS NOT NULL THEN 'mask: ' || v_column.mask
                        WHEN v_column.pii_class <> 'none' THEN 'mask: null, no rule for class ' || v_column.pii_class
                    END
                )
            );
        END LOOP;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', v_view.view_schema, 'telestream_' || v_view.role);
        EXECUTE format(
            'GRANT SELECT ON %I.%I TO %I, telestream_audited', v_view.view_schema, v_view.name,
            'telestream_' || v_view.role
        );
        view_name := format('%I.%I', v_view.view_schema, v_view.name);
        outcome := 'built';
        RETURN NEXT;
    END LOOP;

    FOR v_view IN
        SELECT c.relnamespace::regnamespace::text AS view_schema, c.relname AS name
        FROM pg_class AS c
        WHERE c.relkind = 'v'
            AND c.relnamespace::regnamespace::text IN ('masked_api', 'masked_analyst', 'masked_engineer')
            AND NOT EXISTS (
                SELECT FROM privacy.masking_rule AS r
                WHERE 'masked_' || r.role = c.relnamespace::regnamespace::text
                    AND r.schema_name || '_' || r.table_name = c.relname
            )
        ORDER BY 1, 2
    LOOP
        EXECUTE format('DROP VIEW %I.%I', v_view.view_schema, v_view.name);
        view_name := format('%I.%I', v_view.view_schema, v_view.name);
        outcome := 'dropped';
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION privacy.apply_masking() IS
'Makes the masked views from privacy.masking_rule, and drops those whose rules are gone';
REVOKE ALL ON FUNCTION privacy.apply_masking() FROM PUBLIC;
