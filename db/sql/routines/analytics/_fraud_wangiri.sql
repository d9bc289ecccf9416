-- requires: analytics/_fraud_limit.sql, analytics/_fraud_point.sql
-- Finds callers that ring many numbers for a moment, of whom some call back, in windows that start in
-- p_first … p_last, and puts them into _fraud_flag. The caller may be a number of another network: its
-- calls are then in the records of those it rang.
CREATE OR REPLACE FUNCTION analytics._fraud_wangiri(
    p_first timestamptz, p_last timestamptz, p_now timestamptz
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '128MB'
AS $$
DECLARE
    v_to timestamptz := p_last + interval '24 hours';
    v_max_ring double precision := analytics._fraud_limit('wangiri', 'max_ring_s');
    v_min_rung double precision := analytics._fraud_limit('wangiri', 'min_rung');
    v_min_share double precision := analytics._fraud_limit('wangiri', 'min_ring_share');
    v_min_callbacks double precision := analytics._fraud_limit('wangiri', 'min_callbacks');
    v_subjects bigint[];
BEGIN
    EXECUTE format(
        $q$
        SELECT array_agg(c.caller_id)
        FROM (
            SELECT f.caller_id FROM silver.fact_cdr AS f
            WHERE f.started_at >= %L AND f.started_at < %L AND f.started_at <= %L
                AND f.record_type = 'voice' AND f.disposition = 'no_answer' AND f.duration_s <= %s
                AND f.caller_id <> 0
            GROUP BY f.caller_id
            HAVING count(*) >= %s
        ) AS c
        $q$,
        p_first, v_to, p_now, v_max_ring, v_min_rung
    ) INTO v_subjects;
    IF v_subjects IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format(
        $q$
        CREATE TEMPORARY TABLE _fraud_call ON COMMIT DROP AS
        SELECT
            s.subject, f.started_at, f.caller_id = s.subject AS is_out,
            CASE WHEN f.caller_id = s.subject THEN f.called_id ELSE f.caller_id END AS other_id,
            f.disposition = 'no_answer' AND f.duration_s <= %s AS is_ring, coalesce(f.billed_s, 0) AS billed_s
        FROM silver.fact_cdr AS f
        CROSS JOIN LATERAL unnest(ARRAY[f.caller_id, f.called_id]) AS s (subject)
        WHERE f.started_at >= %L AND f.started_at < %L AND f.started_at <= %L AND f.record_type = 'voice'
            AND (f.caller_id = ANY (%5$L::bigint[]) OR f.called_id = ANY (%5$L::bigint[]))
            AND s.subject = ANY (%5$L::bigint[])
        $q$,
        v_max_ring, p_first, v_to, p_now, v_subjects
    );
    ANALYZE pg_temp._fraud_call;

    INSERT INTO pg_temp._fraud_flag (rule, subscriber_id, starts_at, from_at, to_at, score, evidence)
    WITH here AS MATERIALIZED (
        SELECT g.starts_at, c.*
        FROM pg_temp._fraud_call AS c
        INNER JOIN generate_series(p_first, p_last, interval '6 hours') AS g (starts_at)
            ON c.started_at >= g.starts_at AND c.started_at < g.starts_at + interval '24 hours'
    ),
    rung AS (
        SELECT h.starts_at, h.subject, h.other_id, min(h.started_at) AS rung_at
        FROM here AS h
        WHERE h.is_out AND h.is_ring AND h.other_id <> 0
        GROUP BY h.starts_at, h.subject, h.other_id
    ),
    back AS (
        SELECT
            r.starts_at, r.subject, count(DISTINCT r.other_id) AS callbacks, sum(h.billed_s) AS billed_s,
            max(h.started_at) AS last_at
        FROM rung AS r
        INNER JOIN here AS h
            ON r.starts_at = h.starts_at AND r.subject = h.subject AND r.other_id = h.other_id
            AND NOT h.is_out AND h.started_at > r.rung_at
        GROUP BY r.starts_at, r.subject
    ),
    made AS (
        SELECT
            h.starts_at, h.subject, count(*) AS calls, count(*) FILTER (WHERE h.is_ring) AS rings,
            min(h.started_at) FILTER (WHERE h.is_ring) AS from_at,
            max(h.started_at) FILTER (WHERE h.is_ring) AS to_at
        FROM here AS h
        WHERE h.is_out
        GROUP BY h.starts_at, h.subject
    ),
    number AS (SELECT r.starts_at, r.subject, count(*) AS numbers FROM rung AS r GROUP BY r.starts_at, r.subject)
    SELECT
        'wangiri', m.subject, m.starts_at, m.from_at, greatest(m.to_at, b.last_at),
        least(100, 50 * n.numbers / v_min_rung),
        jsonb_build_array(
            analytics._fraud_point('numbers_rung', n.numbers, v_min_rung, NULL, format(
                '%s different numbers rung for %s seconds at most, in 24 hours', n.numbers, v_max_ring
            )),
            analytics._fraud_point('ring_share', m.rings::double precision / m.calls, v_min_share, NULL, format(
                '%s of its %s calls were such rings', m.rings, m.calls
            )),
            analytics._fraud_point('callbacks', coalesce(b.callbacks, 0), v_min_callbacks, NULL, format(
                '%s of the numbers rung called back, for %s minutes in all',
                coalesce(b.callbacks, 0), round(coalesce(b.billed_s, 0) / 60.0)
            ))
        )
    FROM made AS m
    INNER JOIN number AS n ON m.starts_at = n.starts_at AND m.subject = n.subject
    LEFT JOIN back AS b ON m.starts_at = b.starts_at AND m.subject = b.subject
    WHERE n.numbers >= v_min_rung AND m.rings >= m.calls * v_min_share AND coalesce(b.callbacks, 0) >= v_min_callbacks;
    DROP TABLE pg_temp._fraud_call;
END
$$;
COMMENT ON FUNCTION analytics._fraud_wangiri(timestamptz, timestamptz, timestamptz) IS
'Finds callers that ring many numbers for a moment and are called back';
REVOKE ALL ON FUNCTION analytics._fraud_wangiri(timestamptz, timestamptz, timestamptz) FROM PUBLIC;
