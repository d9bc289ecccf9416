-- Returns the changes of a staged batch that no rule refused, with keys in place of codes and numbers, and
-- the hash of all that a change says. A key is null where it is not known yet. Of a deleted customer nothing
-- is left but that; whatever else the record says does not count.
CREATE OR REPLACE FUNCTION silver._staged_customer(p_batch_id bigint)
RETURNS TABLE (
    line bigint, source_system text, customer_id text, changed_at timestamptz, subscriber_id bigint,
    plan_code text, plan_key integer, region_code text, region_key integer, birth_year smallint, segment text,
    status text, attributes_hash uuid
)
LANGUAGE plpgsql STABLE
ROWS 20000
SET search_path = pg_catalog, pg_temp
-- No statistics know of rows written a moment ago: one row expected, the map of numbers was read for each.
SET enable_nestloop = off
SET enable_mergejoin = off
AS $$
BEGIN
    RETURN QUERY
    SELECT
        k.line, k.source_system, k.customer_id, k.changed_at, k.subscriber_id,
        k.plan_code, k.plan_key, k.region_code, k.region_key, k.birth_year, k.segment, k.status,
        -- Not for secrecy: it tells two versions apart.
        md5(concat_ws(
            E'\x1f', k.subscriber_id, coalesce(k.plan_code, E'\x1e'), coalesce(k.region_code, E'\x1e'),
            coalesce(k.birth_year::text, ''), coalesce(k.segment, E'\x1e'), k.status
        ))::uuid
    FROM (
        SELECT
            b.line, b.source_system, b.customer_id, b.changed_at,
            CASE WHEN b.msisdn IS NULL OR d.is_gone THEN 0 ELSE i.subscriber_id END AS subscriber_id,
            CASE WHEN NOT d.is_gone THEN b.plan_code END AS plan_code,
            CASE WHEN b.plan_code IS NULL OR d.is_gone THEN 0 ELSE p.plan_key END AS plan_key,
            CASE WHEN NOT d.is_gone THEN b.region_code END AS region_code,
            CASE WHEN b.region_code IS NULL OR d.is_gone THEN 0 ELSE r.region_key END AS region_key,
            CASE WHEN NOT d.is_gone THEN b.birth_year END::smallint AS birth_year,
            CASE WHEN NOT d.is_gone THEN b.segment END AS segment,
            CASE WHEN d.is_gone THEN 'terminated' ELSE coalesce(b.status, 'unknown') END AS status
        FROM bronze.customer AS b
        CROSS JOIN LATERAL (SELECT coalesce(b.is_deleted, false) AS is_gone) AS d
        LEFT JOIN pg_temp._identity AS i ON b.msisdn = i.identity
        LEFT JOIN silver.dim_service_plan AS p ON b.plan_code = p.plan_code
        LEFT JOIN silver.dim_region AS r ON b.region_code = r.region_code
        WHERE b.batch_id = p_batch_id
            AND b.line NOT IN (SELECT q.line FROM quality.quarantine AS q WHERE q.batch_id = p_batch_id)
    ) AS k;
END
$$;
COMMENT ON FUNCTION silver._staged_customer(bigint) IS
'The changes of a staged batch that no rule refused, with keys and hash';
REVOKE ALL ON FUNCTION silver._staged_customer(bigint) FROM PUBLIC;
