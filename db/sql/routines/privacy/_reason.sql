-- Returns a reason without space around it; refuses one that is too short, or that names the person it is
-- about: the access log keeps it for years and forgets nothing.
CREATE OR REPLACE FUNCTION privacy._reason(p_reason text, p_plan jsonb)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_reason text := btrim(coalesce(p_reason, ''));
BEGIN
    IF length(v_reason) < 8 THEN
        RAISE EXCEPTION 'a reason is missing'
            USING ERRCODE = 'TS032',
            DETAIL = 'What belongs to a person is shown or erased only for a reason of at least eight characters.',
            HINT = 'Say what it is needed for, e.g. the number of the case.';
    END IF;
    IF v_reason ~ (p_plan ->> 'customer_pattern') OR EXISTS (
        SELECT FROM jsonb_array_elements(p_plan -> 'targets') AS t (one) WHERE v_reason ~ (t.one ->> 'pattern')
    ) THEN
        RAISE EXCEPTION 'the reason names the person'
            USING ERRCODE = 'TS032',
            DETAIL = 'It is kept for good, so the person would be found by it.',
            HINT = 'Give the number of the case instead.';
    END IF;
    RETURN v_reason;
END
$$;
COMMENT ON FUNCTION privacy._reason(text, jsonb) IS 'A reason that may be kept';
REVOKE ALL ON FUNCTION privacy._reason(text, jsonb) FROM PUBLIC;
