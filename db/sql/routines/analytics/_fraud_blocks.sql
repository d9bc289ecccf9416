-- Brings the temporary table _fraud_block to the blocks of six hours of [p_from, p_to): what each number
-- did in each, in sums that windows can be added up from. What it holds from p_from on is kept; what is
-- missing is read from the facts, with literal bounds so that other chunks are not opened. Records after
-- p_now are left out.
CREATE OR REPLACE FUNCTION analytics._fraud_blocks(p_from timestamptz, p_to timestamptz, p_now timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '128MB'
AS $$
DECLARE
    v_have timestamptz;
BEGIN
    SELECT greatest(p_from, max(h.have_to)) INTO v_have FROM pg_temp._fraud_have AS h WHERE h.have_to > p_from;
    v_have := coalesce(v_have, p_from);
    EXECUTE format(
        $q$
        CREATE TEMPORARY TABLE _fraud_block_next ON COMMIT DROP AS
        SELECT
            f.subscriber_id,
            date_bin('6 hours', f.started_at, '2000-01-01 00:00:00+00') AS block,
            count(*) FILTER (WHERE f.record_type = 'voice' AND coalesce(f.direction, 'mo') = 'mo')::integer AS calls,
            count(*) FILTER (WHERE f.record_type IN ('voice', 'sms', 'mms') AND f.direction = 'mt')::integer
                AS received,
            coalesce(sum(f.billed_s) FILTER (WHERE f.record_type = 'voice' AND coalesce(f.direction, 'mo') = 'mo'), 0)
                ::double precision AS talk_s,
            coalesce(sum(f.charge_micro::double precision)
                FILTER (WHERE f.record_type = 'voice' AND coalesce(f.direction, 'mo') = 'mo'), 0) AS call_charge,
            coalesce(sum(f.charge_micro::double precision), 0) AS charge,
            min(c.latitude) AS south, max(c.latitude) AS north,
            min(c.longitude) AS west, max(c.longitude) AS east,
            min(f.started_at) AS first_at, max(f.started_at) AS last_at, max(f.plan_key) AS plan_key
        FROM silver.fact_cdr AS f
        LEFT JOIN silver.dim_network_cell AS c
            ON f.cell_key = c.cell_key AND c.longitude IS NOT NULL AND f.technology NOT IN ('fixed', 'ip')
        WHERE f.started_at >= %L AND f.started_at < %L AND f.started_at <= %L AND f.subscriber_id <> 0
        GROUP BY 1, 2
        $q$,
        v_have, p_to, p_now
    );
    INSERT INTO analytics.fraud_first_seen AS s (subscriber_id, first_seen_at)
    SELECT b.subscriber_id, min(b.first_at) FROM pg_temp._fraud_block_next AS b GROUP BY b.subscriber_id
    ON CONFLICT (subscriber_id) DO UPDATE SET first_seen_at = excluded.first_seen_at
    WHERE s.first_seen_at > excluded.first_seen_at;
    -- Rows of before are written anew and not deleted: a table that only loses rows would grow all the same.
    INSERT INTO pg_temp._fraud_block_next SELECT b.* FROM pg_temp._fraud_block AS b WHERE b.block >= p_from;
    DROP TABLE pg_temp._fraud_block;
    ALTER TABLE pg_temp._fraud_block_next RENAME TO _fraud_block;
    ANALYZE pg_temp._fraud_block;
    UPDATE pg_temp._fraud_have AS h SET have_to = p_to;
END
$$;
COMMENT ON FUNCTION analytics._fraud_blocks(timestamptz, timestamptz, timestamptz) IS
'Reads what each number did in each block of six hours';
REVOKE ALL ON FUNCTION analytics._fraud_blocks(timestamptz, timestamptz, timestamptz) FROM PUBLIC;
