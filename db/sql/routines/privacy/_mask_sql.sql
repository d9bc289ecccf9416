-- Returns the expression by which a masked view shows a column of t. The masks have the names and the meaning
-- they have in PostgreSQL Anonymizer. They are written out and call no function of ours: a function that a
-- reader may call could be asked for the hash of any number, until it fits. The salt is read by the view,
-- with the rights of its owner.
CREATE OR REPLACE FUNCTION privacy._mask_sql(p_rule privacy.masking_rule)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_arguments jsonb := (p_rule).arguments;
    v_column text := format('t.%I', (p_rule).column_name);
    v_type text;
    v_kind text;
    v_hash text;
    v_needed text[];
    v_sql text;
BEGIN
    SELECT format_type(a.atttypid, a.atttypmod),
        CASE
            WHEN a.atttypid IN ('text'::regtype, 'varchar'::regtype) THEN 'text'
            WHEN a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN 'integer'
            WHEN a.atttypid IN ('float4'::regtype, 'float8'::regtype, 'numeric'::regtype) THEN 'number'
            WHEN a.atttypid IN ('timestamptz'::regtype, 'date'::regtype) THEN 'time'
            ELSE 'other'
        END
    INTO v_type, v_kind
    FROM pg_attribute AS a
    WHERE a.attrelid = to_regclass(format('%I.%I', (p_rule).schema_name, (p_rule).table_name))
        AND a.attname = (p_rule).column_name AND a.attnum > 0 AND NOT a.attisdropped;
    v_hash := format(
        'encode(sha256((SELECT s.salt FROM privacy.mask_salt AS s WHERE s.role = %L) '
        '|| convert_to(%s::text, ''UTF8'')), ''hex'')',
        (p_rule).role, v_column
    );
    v_needed := CASE (p_rule).mask
        WHEN 'partial' THEN ARRAY['prefix', 'padding', 'suffix']
        WHEN 'generalize' THEN ARRAY[CASE v_kind WHEN 'time' THEN 'unit' ELSE 'step' END]
        WHEN 'noise' THEN ARRAY['ratio']
        ELSE ARRAY[]::text[]
    END;
    IF v_arguments ?& v_needed AND NOT EXISTS (
        SELECT FROM jsonb_each_text(v_arguments) AS a
        WHERE a.value IS NULL OR a.key <> ALL (v_needed)
    ) THEN
        -- A number or unit that is none, or out of range, is told of below.
        BEGIN
            PERFORM date_trunc(v_arguments ->> 'unit', now());
            IF coalesce((v_arguments ->> 'step')::numeric, 1) > 0
                AND coalesce((v_arguments ->> 'ratio')::numeric, 0) BETWEEN 0 AND 1
                AND coalesce((v_arguments ->> 'prefix')::integer, 0) >= 0
                AND coalesce((v_arguments ->> 'suffix')::integer, 0) >= 0
            THEN
                v_sql := CASE (p_rule).mask
                    WHEN 'keep' THEN v_column
                    WHEN 'null' THEN 'NULL::' || v_type
                    WHEN 'partial' THEN CASE WHEN v_kind = 'text' THEN format(
                        'CASE WHEN length(%1$s) > %2$s + %3$s THEN left(%1$s, %2$s) || %4$L || right(%1$s, %3$s) '
                        'WHEN %1$s IS NOT NULL THEN %4$L END',
                        v_column, (v_arguments ->> 'prefix')::integer, (v_arguments ->> 'suffix')::integer,
                        v_arguments ->> 'padding'
                    ) END
                    WHEN 'hash' THEN v_hash
                    WHEN 'pseudonym' THEN CASE WHEN v_kind = 'integer' THEN format(
                        -- 0 is unknown, and stays it.
                        'CASE WHEN %1$s = 0 THEN 0 ELSE (''x0'' || left(%2$s, 15))::bit(64)::bigint END', v_column, v_hash
                    ) END
                    WHEN 'generalize' THEN CASE v_kind
                        WHEN 'integer' THEN format(
                            'int8range((floor(%1$s::numeric / %2$s) * %2$s)::bigint, (floor(%1$s::numeric / %2$s) * %2$s + %2$s)::bigint)',
                            v_column, (v_arguments ->> 'step')::bigint
                        )
                        WHEN 'number' THEN format(
                            'numrange(floor(%1$s::numeric / %2$s) * %2$s, floor(%1$s::numeric / %2$s) * %2$s + %2$s)',
                            v_column, (v_arguments ->> 'step')::numeric
                        )
                        WHEN 'time' THEN format(
                            'date_trunc(%L, %s::timestamptz, ''UTC'')', v_arguments ->> 'unit', v_column
                        )
                    END
                    -- The same value gets the same noise, so that reading again does not average it away.
                    WHEN 'noise' THEN CASE WHEN v_kind IN ('integer', 'number') THEN format(
                        '(%1$s * (1 + %2$s * (2 * (''x'' || left(%3$s, 8))::bit(32)::bigint / 4294967296.0 - 1)))::%4$s',
                        v_column, (v_arguments ->> 'ratio')::numeric, v_hash, v_type
                    ) END
                END;
            END IF;
        EXCEPTION WHEN data_exception THEN
            v_sql := NULL;
        END;
    END IF;
    IF v_type IS NULL OR v_sql IS NULL THEN
        RAISE EXCEPTION 'masking rule for %.%.% cannot be used',
            (p_rule).schema_name, (p_rule).table_name, (p_rule).column_name
            USING ERRCODE = 'TS036',
            DETAIL = CASE
                WHEN v_type IS NULL THEN 'There is no such column.'
                ELSE format('Mask %s with %s does not fit the type %s.', (p_rule).mask, v_arguments, v_type)
            END,
            HINT = 'partial: text, with prefix, padding and suffix; generalize: numbers with step, times with unit; '
                'noise: numbers with ratio; pseudonym: integers; keep, null and hash: any type.';
    END IF;
    RETURN v_sql;
END
$$;
COMMENT ON FUNCTION privacy._mask_sql(privacy.masking_rule) IS
'The expression by which a masked view shows a column';
REVOKE ALL ON FUNCTION privacy._mask_sql(privacy.masking_rule) FROM PUBLIC;
