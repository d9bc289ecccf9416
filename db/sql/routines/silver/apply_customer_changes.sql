-- requires: silver/_staged_customer.sql
-- Adds the changes of a staged batch to those known, and makes the history of every customer they touch anew
-- from all of them: in whatever order, how late and how often changes come, the same changes give the same
-- versions. A version that stays what it was keeps its key. Notes for which numbers, and when, another
-- version is the answer now: silver.rekey_pending() carries that to the facts. The caller holds the lock on
-- customers and has enrolled the numbers.
CREATE OR REPLACE FUNCTION silver.apply_customer_changes(
    p_batch_id bigint, OUT o_loaded bigint, OUT o_min timestamptz, OUT o_max timestamptz
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
    CREATE TEMPORARY TABLE _touched (customer_id text NOT NULL, changed_at timestamptz NOT NULL) ON COMMIT DROP;
    WITH ins AS (
        INSERT INTO silver.customer_change (
            customer_id, changed_at, source_system, subscriber_id, plan_key, region_key, birth_year, segment,
            status, attributes_hash, batch_id, source_line
        )
        SELECT
            s.customer_id, s.changed_at, s.source_system, s.subscriber_id, s.plan_key, s.region_key, s.birth_year,
            s.segment, s.status, s.attributes_hash, p_batch_id, s.line
        FROM silver._staged_customer(p_batch_id) AS s
        ORDER BY s.customer_id, s.changed_at, s.line
        ON CONFLICT (customer_id, changed_at, source_system) DO NOTHING
        RETURNING customer_id, changed_at
    )
    INSERT INTO pg_temp._touched (customer_id, changed_at) SELECT i.customer_id, i.changed_at FROM ins AS i;
    SELECT count(*), min(t.changed_at), max(t.changed_at) INTO o_loaded, o_min, o_max FROM pg_temp._touched AS t;
    IF o_loaded = 0 THEN
        DROP TABLE pg_temp._touched;
        RETURN;
    END IF;
    ANALYZE pg_temp._touched;

    -- What the history of the touched customers must be.
    CREATE TEMPORARY TABLE _version ON COMMIT DROP AS
    SELECT
        m.customer_id, m.subscriber_id, m.plan_key, m.region_key, m.birth_year, m.segment, m.status,
        m.changed_at AS valid_from,
        coalesce(lead(m.changed_at) OVER (PARTITION BY m.customer_id ORDER BY m.changed_at), 'infinity') AS valid_to,
        m.attributes_hash, m.source_system, m.batch_id
    FROM (
        SELECT
            e.*,
            e.attributes_hash IS DISTINCT FROM lag(e.attributes_hash) OVER (
                PARTITION BY e.customer_id ORDER BY e.changed_at
            ) AS is_version
        FROM (
            SELECT DISTINCT ON (c.customer_id, c.changed_at) c.*
            FROM silver.customer_change AS c
            WHERE c.customer_id IN (SELECT t.customer_id FROM pg_temp._touched AS t)
            ORDER BY c.customer_id, c.changed_at, c.source_system COLLATE "C" DESC
        ) AS e
    ) AS m
    WHERE m.is_version;
    ANALYZE pg_temp._version;

    -- Who answers for the numbers concerned, before anything changes.
    CREATE TEMPORARY TABLE _held ON COMMIT DROP AS
    SELECT d.subscriber_id, d.customer_key, d.holds
    FROM silver.dim_customer AS d
    WHERE d.subscriber_id <> 0 AND d.subscriber_id IN (
        SELECT v.subscriber_id FROM pg_temp._version AS v
        UNION
        SELECT o.subscriber_id FROM silver.dim_customer AS o
        WHERE o.customer_id IN (SELECT t.customer_id FROM pg_temp._touched AS t)
    );
    -- Numbers nobody had before are concerned as well.
    INSERT INTO pg_temp._held (subscriber_id)
    SELECT DISTINCT v.subscriber_id
    FROM pg_temp._version AS v
    WHERE v.subscriber_id <> 0
        AND NOT EXISTS (SELECT FROM pg_temp._held AS h WHERE h.subscriber_id = v.subscriber_id);
    ANALYZE pg_temp._held;

    -- In this order no constraint sees two versions of a customer overlap.
    DELETE FROM silver.dim_customer AS d
    WHERE d.customer_id IN (SELECT t.customer_id FROM pg_temp._touched AS t)
        AND NOT EXISTS (
            SELECT FROM pg_temp._version AS v
            WHERE v.customer_id = d.customer_id AND v.valid_from = d.valid_from
                AND v.attributes_hash = d.attributes_hash
        );
    UPDATE silver.dim_customer AS d
    SET valid_to = v.valid_to, source_system = v.source_system, batch_id = v.batch_id
    FROM pg_temp._version AS v
    WHERE v.customer_id = d.customer_id AND v.valid_from = d.valid_from
        AND (d.valid_to, d.source_system, d.batch_id) IS DISTINCT FROM (v.valid_to, v.source_system, v.batch_id);
    INSERT INTO silver.dim_customer (
        customer_id, subscriber_id, plan_key, region_key, birth_year, segment, status, valid_from, valid_to,
        attributes_hash, source_system, batch_id
    )
    SELECT
        v.customer_id, v.subscriber_id, v.plan_key, v.region_key, v.birth_year, v.segment, v.status, v.valid_from,
        v.valid_to, v.attributes_hash, v.source_system, v.batch_id
    FROM pg_temp._version AS v
    WHERE NOT EXISTS (
        SELECT FROM silver.dim_customer AS d
        WHERE d.customer_id = v.customer_id AND d.valid_from = v.valid_from
    )
    ORDER BY v.customer_id, v.valid_from;

    -- Where several customers claim a number at once, the claim that began last holds it.
    UPDATE silver.dim_customer AS d
    SET holds = n.holds
    FROM (
        SELECT
            v.customer_key,
            multirange(tstzrange(v.valid_from, v.next_from))
            - coalesce(
                range_agg(tstzrange(w.valid_from, w.next_from)) FILTER (WHERE w.customer_key IS NOT NULL), '{}'
            ) AS holds
        FROM silver.dim_customer AS v
        LEFT JOIN silver.dim_customer AS w
            ON w.subscriber_id = v.subscriber_id AND w.customer_key <> v.customer_key
            AND w.valid_from < v.valid_to AND w.valid_to > v.valid_from
            AND (w.valid_from, w.customer_id COLLATE "C") > (v.valid_from, v.customer_id COLLATE "C")
        WHERE v.subscriber_id <> 0 AND v.subscriber_id IN (SELECT h.subscriber_id FROM pg_temp._held AS h)
        GROUP BY v.customer_key
    ) AS n
    WHERE d.customer_key = n.customer_key AND d.holds <> n.holds;

    INSERT INTO silver.customer_rekey (subscriber_id, spans, batch_id)
    SELECT c.subscriber_id, range_agg(c.spans), p_batch_id
    FROM (
        -- Of each version what it gained and what it lost.
        SELECT
            coalesce(b.subscriber_id, a.subscriber_id) AS subscriber_id,
            (coalesce(b.holds, '{}') + coalesce(a.holds, '{}'))
            - (coalesce(b.holds, '{}') * coalesce(a.holds, '{}')) AS spans
        FROM (SELECT h.* FROM pg_temp._held AS h WHERE h.customer_key IS NOT NULL) AS b
        FULL JOIN (
            SELECT d.subscriber_id, d.customer_key, d.holds
            FROM silver.dim_customer AS d
            WHERE d.subscriber_id <> 0 AND d.subscriber_id IN (SELECT h.subscriber_id FROM pg_temp._held AS h)
        ) AS a ON b.customer_key = a.customer_key
    ) AS c
    WHERE NOT isempty(c.spans)
    GROUP BY c.subscriber_id;

    DROP TABLE pg_temp._touched, pg_temp._version, pg_temp._held;
END
$$;
COMMENT ON FUNCTION silver.apply_customer_changes(bigint) IS
'Adds the changes of a staged batch and makes the versions of the touched customers anew';
REVOKE ALL ON FUNCTION silver.apply_customer_changes(bigint) FROM PUBLIC;
