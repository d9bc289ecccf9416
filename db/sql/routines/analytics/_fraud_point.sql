-- A line of evidence, as the columns of analytics.fraud_evidence.
CREATE OR REPLACE FUNCTION analytics._fraud_point(
    p_measure text, p_seen double precision, p_threshold double precision, p_peer double precision,
    p_explanation text
)
RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'measure', p_measure, 'seen', p_seen, 'threshold', p_threshold, 'peer', p_peer, 'explanation', p_explanation
    )
$$;
COMMENT ON FUNCTION analytics._fraud_point(
    text, double precision, double precision, double precision, text
) IS
'A line of evidence: what was measured, seen, the threshold, what is usual, and words';
REVOKE ALL ON FUNCTION analytics._fraud_point(
    text, double precision, double precision, double precision, text
) FROM PUBLIC;
