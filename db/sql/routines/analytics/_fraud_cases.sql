-- Turns what a run has flagged (_fraud_flag) into cases: windows of one rule and number that lie no
-- further apart than the rule's quiet time are one episode; an episode that touches a case extends it,
-- else it opens one. The same flags again change nothing. Cases that have been quiet for long enough are
-- closed; p_now is the event time.
CREATE OR REPLACE FUNCTION analytics._fraud_cases(
    p_now timestamptz, OUT o_opened bigint, OUT o_changed bigint, OUT o_closed bigint
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_rule text;
    v_subscriber_id bigint;
    v_quiet interval;
    v_severity text;
    v_from_at timestamptz;
    v_to_at timestamptz;
    v_best double precision;
    v_starts_at timestamptz;
    v_evidence jsonb;
    v_other record;
    v_case_id bigint;
    v_started_at timestamptz;
    v_last_seen_at timestamptz;
    v_score double precision;
BEGIN
    o_opened := 0;
    o_changed := 0;
    -- Few: what has been flagged is fraud, or the thresholds are wrong.
    FOR v_rule, v_subscriber_id, v_quiet, v_severity, v_from_at, v_to_at, v_best, v_starts_at, v_evidence IN
        SELECT
            i.rule, i.subscriber_id, i.quiet, i.severity, min(i.from_at) AS from_at, max(i.to_at) AS to_at,
            max(i.score) AS score, (array_agg(i.starts_at ORDER BY i.score DESC, i.starts_at))[1] AS starts_at,
            (array_agg(i.evidence ORDER BY i.score DESC, i.starts_at))[1] AS evidence
        FROM (
            SELECT j.*, count(*) FILTER (WHERE j.is_first) OVER w AS episode
            FROM (
                SELECT
                    f.*, r.quiet, r.severity,
                    f.from_at > coalesce(
                        max(f.to_at) OVER (
                            PARTITION BY f.rule, f.subscriber_id ORDER BY f.from_at, f.starts_at
                            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                        ), '-infinity'
                    ) + r.quiet AS is_first
                FROM pg_temp._fraud_flag AS f
                INNER JOIN analytics.fraud_rule AS r ON f.rule = r.rule AND r.is_enabled
            ) AS j
            WINDOW w AS (PARTITION BY j.rule, j.subscriber_id ORDER BY j.from_at, j.starts_at)
        ) AS i
        GROUP BY i.rule, i.subscriber_id, i.episode, i.quiet, i.severity
        ORDER BY min(i.from_at), i.subscriber_id, i.rule
    LOOP
        SELECT c.case_id, c.started_at, c.last_seen_at, c.score
        INTO v_case_id, v_started_at, v_last_seen_at, v_score
        FROM analytics.fraud_case AS c
        WHERE c.rule = v_rule AND c.subscriber_id = v_subscriber_id AND c.merged_into IS NULL
            AND c.started_at <= v_to_at + v_quiet
            AND c.last_seen_at >= v_from_at - v_quiet
        ORDER BY c.case_id
        LIMIT 1;
        IF v_case_id IS NULL THEN
            INSERT INTO analytics.fraud_case
            (rule, subscriber_id, severity, score, started_at, last_seen_at)
            VALUES (
                v_rule, v_subscriber_id, v_severity, v_best, v_from_at,
                v_to_at
            )
            RETURNING case_id INTO v_case_id;
            v_score := -1;
            o_opened := o_opened + 1;
        ELSIF v_from_at < v_started_at OR v_to_at > v_last_seen_at
            OR v_best > v_score THEN
            UPDATE analytics.fraud_case AS c
            SET
                started_at = least(c.started_at, v_from_at),
                last_seen_at = greatest(c.last_seen_at, v_to_at),
                score = greatest(c.score, v_best),
                closed_at = NULL,
                updated_at = clock_timestamp()
            WHERE c.case_id = v_case_id;
            o_changed := o_changed + 1;
        END IF;
        -- Late records can show that two cases are one: the older stays and takes over the other.
        LOOP
            SELECT c.case_id, c.started_at, c.last_seen_at, c.score INTO v_other
            FROM analytics.fraud_case AS c
            INNER JOIN analytics.fraud_case AS k ON k.case_id = v_case_id
            WHERE c.case_id <> k.case_id AND c.merged_into IS NULL
                AND c.rule = k.rule AND c.subscriber_id = k.subscriber_id
                AND c.started_at <= k.last_seen_at + v_quiet
                AND c.last_seen_at >= k.started_at - v_quiet
            ORDER BY c.case_id
            LIMIT 1;
            EXIT WHEN NOT FOUND;
            UPDATE analytics.fraud_case AS c
            SET merged_into = v_case_id, closed_at = coalesce(c.closed_at, p_now), updated_at = clock_timestamp()
            WHERE c.case_id = v_other.case_id;
            UPDATE analytics.fraud_case AS c
            SET
                started_at = least(c.started_at, v_other.started_at),
                last_seen_at = greatest(c.last_seen_at, v_other.last_seen_at),
                score = greatest(c.score, v_other.score)
            WHERE c.case_id = v_case_id;
            IF v_other.score > v_score THEN
                v_score := v_other.score;
                DELETE FROM analytics.fraud_evidence AS e WHERE e.case_id = v_case_id;
                UPDATE analytics.fraud_evidence AS e SET case_id = v_case_id WHERE e.case_id = v_other.case_id;
            END IF;
        END LOOP;
        IF v_best > v_score THEN
            DELETE FROM analytics.fraud_evidence AS e WHERE e.case_id = v_case_id;
            INSERT INTO analytics.fraud_evidence
            (case_id, position, measure, seen, threshold, peer, explanation, from_at, to_at)
            SELECT
                v_case_id, p.position, p.line ->> 'measure', (p.line ->> 'seen')::double precision,
                (p.line ->> 'threshold')::double precision, (p.line ->> 'peer')::double precision,
                p.line ->> 'explanation', v_starts_at, v_starts_at + interval '24 hours'
            FROM jsonb_array_elements(v_evidence) WITH ORDINALITY AS p (line, position);
        END IF;
    END LOOP;
    UPDATE analytics.fraud_case AS c
    SET closed_at = c.last_seen_at + r.quiet, updated_at = clock_timestamp()
    FROM analytics.fraud_rule AS r
    WHERE c.rule = r.rule AND c.closed_at IS NULL AND c.last_seen_at + r.quiet <= p_now;
    GET DIAGNOSTICS o_closed = ROW_COUNT;
END
$$;
COMMENT ON FUNCTION analytics._fraud_cases(timestamptz) IS 'Turns what a run has flagged into cases';
REVOKE ALL ON FUNCTION analytics._fraud_cases(timestamptz) FROM PUBLIC;
