-- Removes what analytics has worked out about people. Erasure calls it with their surrogates, in its
-- transaction; whatever else is kept about a person here deletes it in this function. Returns the rows
-- removed.
CREATE OR REPLACE FUNCTION analytics.forget(p_subscriber_ids bigint[])
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_cases bigint;
    v_first_seen bigint;
    v_profiles bigint;
BEGIN
    -- Not while a run is on: it would write them again.
    PERFORM pg_advisory_xact_lock(7301019);
    DELETE FROM analytics.fraud_case AS c WHERE c.subscriber_id = ANY (p_subscriber_ids);
    GET DIAGNOSTICS v_cases = ROW_COUNT;
    DELETE FROM analytics.fraud_first_seen AS s WHERE s.subscriber_id = ANY (p_subscriber_ids);
    GET DIAGNOSTICS v_first_seen = ROW_COUNT;
    WITH week AS (
        DELETE FROM analytics.customer_week AS w WHERE w.subscriber_id = ANY (p_subscriber_ids) RETURNING 1
    ),
    profile AS (
        DELETE FROM analytics.customer_profile AS p WHERE p.subscriber_id = ANY (p_subscriber_ids) RETURNING 1
    ),
    segment AS (
        DELETE FROM analytics.customer_segment AS s WHERE s.subscriber_id = ANY (p_subscriber_ids) RETURNING 1
    ),
    score AS (
        DELETE FROM analytics.churn_score AS c WHERE c.subscriber_id = ANY (p_subscriber_ids) RETURNING 1
    )
    SELECT
        (SELECT count(*) FROM week) + (SELECT count(*) FROM profile)
        + (SELECT count(*) FROM segment) + (SELECT count(*) FROM score)
    INTO v_profiles;
    RETURN v_cases + v_first_seen + v_profiles;
END
$$;
COMMENT ON FUNCTION analytics.forget(bigint[]) IS 'Removes what analytics has worked out about people';
REVOKE ALL ON FUNCTION analytics.forget(bigint[]) FROM PUBLIC;
