-- requires: vault/find.sql, vault/_clear.sql, privacy/_forms.sql, privacy/_pattern.sql
-- requires: privacy/_bytes_text.sql
-- Returns what belongs to one person, or raises TS037 if nothing does: a number leads to the customer that
-- has it, or had it last; a customer to all numbers it ever had; a number to the SIM that Bronze saw it
-- with, unless that SIM was seen with another number, too. A number that other customers had as well belongs
-- to the person for the times alone that it led to them.
--
-- customers: ids in the CRM; keys: of their versions; own: surrogates of theirs alone; certain: of these,
-- those that an international form names; shared: surrogates with the times; vault: surrogates that the
-- vault forgets; forms: values that name the person; targets: patterns to look for in texts, with the times
-- in which they mean the person; customer_pattern: for texts about customers.
CREATE OR REPLACE FUNCTION privacy._person(p_subject text)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_customers text[] := '{}';
    v_customer_pattern text;
    v_ids bigint[] := '{}';
    v_own bigint[] := '{}';
    v_certain bigint[];
    v_vault bigint[] := '{}';
    v_shared jsonb := '[]';
    v_targets jsonb := '[]';
    v_identities text[] := '{}';
    v_exact text[];
    v_national text[];
    v_sims text[];
    v_number record;
    v_pattern text;
BEGIN
    IF p_subject ~ '^customer:.' THEN
        v_customers := ARRAY[substr(p_subject, 10)];
    ELSIF p_subject ~ '^([+][1-9][0-9]{7,14}|imsi:[0-9]{14,15}|imei:[0-9]{14,16})$' THEN
        v_identities := ARRAY[p_subject];
        SELECT coalesce(array_agg(f.subscriber_id), '{}') INTO v_ids
        FROM vault.find(privacy._forms(p_subject, false)) AS f;
        SELECT coalesce(array_agg(h.customer_id), '{}') INTO v_customers
        FROM (
            SELECT d.customer_id
            FROM silver.dim_customer AS d
            WHERE d.subscriber_id = ANY (v_ids) AND d.subscriber_id <> 0 AND d.holds <> '{}'
            ORDER BY upper(d.holds) DESC NULLS FIRST, d.valid_from DESC
            LIMIT 1
        ) AS h;
    ELSE
        RAISE EXCEPTION 'the subject cannot be read'
            USING ERRCODE = 'TS037',
            HINT = 'Write a number as +447911123456, or imsi:…, imei:…, customer:….';
    END IF;
    SELECT v_ids || coalesce(array_agg(DISTINCT c.subscriber_id), '{}') INTO v_ids
    FROM silver.customer_change AS c
    WHERE c.customer_id = ANY (v_customers) AND c.subscriber_id <> 0 AND c.subscriber_id <> ALL (v_ids);

    FOR v_number IN
        SELECT
            i.subscriber_id, k.identity,
            EXISTS (
                SELECT FROM silver.customer_change AS c
                WHERE c.subscriber_id = i.subscriber_id AND c.customer_id <> ALL (v_customers)
            ) AS is_shared,
            (
                SELECT coalesce(range_agg(d.holds), '{}') FROM silver.dim_customer AS d
                WHERE d.subscriber_id = i.subscriber_id AND d.customer_id = ANY (v_customers)
            ) AS spans,
            (
                SELECT d.customer_id FROM silver.dim_customer AS d
                WHERE d.subscriber_id = i.subscriber_id AND d.holds <> '{}'
                ORDER BY upper(d.holds) DESC NULLS FIRST, d.valid_from DESC
                LIMIT 1
            ) = ANY (v_customers) AS is_last
        FROM unnest(v_ids) AS i (subscriber_id)
        LEFT JOIN vault._clear(v_ids) AS k ON i.subscriber_id = k.subscriber_id
    LOOP
        IF NOT v_number.is_shared THEN
            v_own := v_own || v_number.subscriber_id;
            v_identities := v_identities || v_number.identity;
            CONTINUE;
        END IF;
        v_shared := v_shared || jsonb_build_object('id', v_number.subscriber_id, 'spans', v_number.spans::text);
        IF v_number.is_last THEN
            v_vault := v_vault || v_number.subscriber_id;
        END IF;
        IF v_number.identity IS NOT NULL THEN
            -- Its texts are the person's in its times alone, also where it was the subject.
            v_identities := array_remove(v_identities, v_number.identity);
            v_targets := v_targets || jsonb_build_object(
                'pattern', privacy._pattern(v_number.identity), 'spans', v_number.spans::text
            );
        END IF;
    END LOOP;
    SELECT coalesce(array_agg(DISTINCT i.identity), '{}') INTO v_identities
    FROM unnest(v_identities) AS i (identity)
    WHERE i.identity IS NOT NULL;

    -- SIMs that only ever served the person.
    SELECT array_agg(f.form) INTO v_exact
    FROM unnest(v_identities) AS i (identity)
    CROSS JOIN LATERAL unnest(privacy._forms(i.identity, false)) AS f (form)
    WHERE i.identity ~ '^[+]';
    SELECT array_agg(DISTINCT b.imsi) INTO v_sims
    FROM bronze.cdr AS b
    WHERE b.imsi ~ '^[0-9]{14,15}$' AND CASE WHEN b.direction = 'mt' THEN b.called ELSE b.caller END = ANY (v_exact);
    SELECT v_identities || coalesce(array_agg('imsi:' || s.imsi), '{}') INTO v_identities
    FROM unnest(v_sims) AS s (imsi)
    WHERE 'imsi:' || s.imsi <> ALL (v_identities) AND NOT EXISTS (
        SELECT FROM bronze.cdr AS b
        WHERE b.imsi = s.imsi AND CASE WHEN b.direction = 'mt' THEN b.called ELSE b.caller END <> ALL (v_exact)
    );

    SELECT array_agg(f.form) FILTER (WHERE NOT n.is_national), array_agg(f.form) FILTER (WHERE n.is_national)
    INTO v_exact, v_national
    FROM unnest(v_identities) AS i (identity)
    CROSS JOIN (VALUES (false), (true)) AS n (is_national)
    CROSS JOIN LATERAL unnest(privacy._forms(i.identity, n.is_national)) AS f (form);
    SELECT array_agg(DISTINCT i.id) INTO v_certain
    FROM (
        SELECT o.id FROM unnest(v_own) AS o (id)
        UNION ALL
        SELECT f.subscriber_id FROM vault.find(v_exact) AS f
    ) AS i (id);
    SELECT coalesce(array_agg(DISTINCT i.id), '{}') INTO v_own
    FROM (
        SELECT o.id FROM unnest(v_certain) AS o (id)
        UNION ALL
        SELECT f.subscriber_id FROM vault.find(v_national) AS f
    ) AS i (id);

    IF cardinality(v_customers) > 0 THEN
        SELECT string_agg(
            '(?<![0-9A-Za-z])' || regexp_replace(c.id, '([][\\^$.|?*+(){}-])', '\\\1', 'g') || '(?![0-9A-Za-z])', '|'
        ) INTO v_customer_pattern
        FROM unnest(v_customers) AS c (id);
    END IF;
    SELECT string_agg(p.pattern, '|') INTO v_pattern
    FROM (
        SELECT privacy._pattern(i.identity) AS pattern FROM unnest(v_identities) AS i (identity)
        UNION ALL
        -- A short id is a word of many other texts; one like this is not.
        SELECT v_customer_pattern FROM unnest(v_customers) AS c (id)
        WHERE length(c.id) >= 6 AND c.id ~ '[A-Za-z]' AND c.id ~ '[0-9]'
    ) AS p;
    IF v_pattern IS NOT NULL THEN
        v_targets := jsonb_build_array(jsonb_build_object('pattern', v_pattern, 'spans', '{(,)}')) || v_targets;
    END IF;

    IF v_own = '{}' AND v_shared = '[]' AND NOT EXISTS (
        SELECT FROM bronze.cdr AS b
        WHERE concat_ws(' ', b.caller, b.called, b.imsi, b.imei, b.extras) ~ v_pattern
    ) AND NOT EXISTS (SELECT FROM bronze.network_event AS b WHERE concat_ws(' ', b.subscriber, b.payload) ~ v_pattern)
    AND NOT EXISTS (
        SELECT FROM bronze.customer AS b WHERE b.customer_id = ANY (v_customers) OR b.msisdn ~ v_pattern
    ) AND NOT EXISTS (SELECT FROM silver.customer_change AS c WHERE c.customer_id = ANY (v_customers))
    AND NOT EXISTS (
        SELECT FROM quality.quarantine AS q
        WHERE concat_ws(' ', q.raw, q.record, q.reason) ~ v_pattern
            OR (q.dataset = 'customer' AND concat_ws(' ', q.raw, q.record) ~ v_customer_pattern)
    ) AND NOT EXISTS (
        SELECT FROM ops.dead_letter AS d
        WHERE concat_ws(' ', privacy._bytes_text(d.key), privacy._bytes_text(d.value), d.detail) ~ v_pattern
    ) THEN
        RAISE EXCEPTION 'nothing is known of this subject'
            USING ERRCODE = 'TS037',
            DETAIL = 'Neither customers, vault, Bronze, quarantine nor dead letters name it; '
                'it was never loaded, or was erased.',
            HINT = 'Check how it is written: +447911123456, imsi:…, imei:…, customer:….';
    END IF;
    RETURN jsonb_build_object(
        'subject', p_subject,
        'customers', to_jsonb(v_customers),
        'keys', (
            SELECT coalesce(jsonb_agg(d.customer_key), '[]') FROM silver.dim_customer AS d
            WHERE d.customer_id = ANY (v_customers) AND d.customer_key <> 0
        ),
        'identities', to_jsonb(v_identities),
        'own', to_jsonb(v_own),
        'certain', to_jsonb(coalesce(v_certain, '{}')),
        'shared', v_shared,
        'vault', to_jsonb(v_own || v_vault),
        'forms', to_jsonb(coalesce(v_exact, '{}') || coalesce(v_national, '{}')),
        'targets', v_targets,
        'customer_pattern', v_customer_pattern
    );
END
$$;
COMMENT ON FUNCTION privacy._person(text) IS 'What belongs to one person';
REVOKE ALL ON FUNCTION privacy._person(text) FROM PUBLIC;
