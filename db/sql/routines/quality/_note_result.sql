-- requires: quality/_alert.sql
-- Keeps what came of an expectation in one bucket, and opens or ends its incident where this is the latest
-- bucket that was judged: an older one that is judged again, after a late load, changes the record and
-- alerts nobody.
CREATE OR REPLACE FUNCTION quality._note_result(
    p_result quality.expectation_result, p_normal double precision, p_now timestamptz
)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rule record;
    v_open bigint;
    v_normal double precision := coalesce(
        p_normal,
        CASE WHEN p_result.observed < p_result.at_least THEN p_result.at_least ELSE p_result.at_most END
    );
    v_message text;
BEGIN
    INSERT INTO quality.expectation_result AS x
    VALUES (p_result.*)
    ON CONFLICT (dataset, rule, subject, bucket) DO UPDATE
    SET outcome = excluded.outcome, observed = excluded.observed, at_least = excluded.at_least,
        at_most = excluded.at_most, details = excluded.details, judged_at = excluded.judged_at;
    IF p_result.outcome NOT IN ('passed', 'failed', 'maintenance') OR EXISTS (
        SELECT FROM quality.expectation_result AS x
        WHERE x.dataset = p_result.dataset AND x.rule = p_result.rule AND x.subject = p_result.subject
            AND x.bucket > p_result.bucket AND x.outcome IN ('passed', 'failed', 'maintenance')
    ) THEN
        RETURN;
    END IF;
    SELECT i.incident_id INTO v_open
    FROM quality.incident AS i
    WHERE i.dataset = p_result.dataset AND i.rule = p_result.rule AND i.subject = p_result.subject
        AND i.ended_at IS NULL;
    IF p_result.outcome <> 'failed' THEN
        IF v_open IS NOT NULL THEN
            UPDATE quality.incident AS i SET ended_at = p_now WHERE i.incident_id = v_open;
            PERFORM quality._alert(v_open, 'ended');
        END IF;
        RETURN;
    END IF;
    SELECT r.severity, r.message INTO v_rule
    FROM quality.rule AS r
    WHERE r.dataset = p_result.dataset AND r.rule = p_result.rule;
    v_message := format(
        '%s%s: %s: %s, expected %s', p_result.dataset,
        CASE WHEN p_result.subject <> '' THEN ' of ' || p_result.subject ELSE '' END,
        v_rule.message, round(p_result.observed::numeric, 2),
        CASE
            WHEN p_result.at_most IS NULL THEN 'at least ' || round(p_result.at_least::numeric, 2)
            WHEN p_result.at_least IS NULL THEN 'at most ' || round(p_result.at_most::numeric, 2)
            ELSE round(p_result.at_least::numeric, 2) || ' to ' || round(p_result.at_most::numeric, 2)
        END
    );
    IF v_open IS NULL THEN
        INSERT INTO quality.incident (
            dataset, rule, subject, severity, started_at, failed_at, observed, normal, message
        )
        VALUES (
            p_result.dataset, p_result.rule, p_result.subject,
            CASE v_rule.severity WHEN 'error' THEN 'major' ELSE 'minor' END,
            p_result.bucket, p_result.bucket, p_result.observed, v_normal, v_message
        )
        RETURNING incident_id INTO v_open;
        PERFORM quality._alert(v_open, 'opened');
    ELSE
        UPDATE quality.incident AS i
        SET failed_at = p_result.bucket, observed = p_result.observed, normal = v_normal, message = v_message
        WHERE i.incident_id = v_open;
    END IF;
END
$$;
COMMENT ON FUNCTION quality._note_result(quality.expectation_result, double precision, timestamptz) IS
'Keeps what came of an expectation, opens or ends its incident';
REVOKE ALL ON FUNCTION quality._note_result(quality.expectation_result, double precision, timestamptz)
FROM PUBLIC;
