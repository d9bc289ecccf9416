-- Makes of the records of some weeks, by weekday and kind, and of their volume a vector that can be compared
-- (L2): the shares of the 21 as square roots, whose length is 1, so that the amount does not matter there;
-- then minutes, messages and megabytes of a week against what is usual, between 0 and 1. Without any record
-- of a kind that counts each share is 1/21.
CREATE OR REPLACE FUNCTION analytics._behaviour(
    p_usage public.vector, p_weeks integer, p_voice_s bigint, p_messages bigint, p_bytes bigint
)
RETURNS public.vector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (
        array_agg(sqrt(CASE WHEN t.records > 0 THEN u.records / t.records ELSE 1 / 21.0 END)::real ORDER BY u.n)
        || ARRAY[
            p_voice_s / 60.0 / p_weeks / (p_voice_s / 60.0 / p_weeks + 60),
            p_messages::numeric / p_weeks / (p_messages::numeric / p_weeks + 20),
            p_bytes / 1e6 / p_weeks / (p_bytes / 1e6 / p_weeks + 500)
        ]::real[]
    )::public.vector
    FROM unnest(p_usage::real[]) WITH ORDINALITY AS u (records, n)
    CROSS JOIN (SELECT sum(a.records) AS records FROM unnest(p_usage::real[]) AS a (records)) AS t
$$;
COMMENT ON FUNCTION analytics._behaviour(public.vector, integer, bigint, bigint, bigint) IS
'Makes a vector of how a customer uses the network';
REVOKE ALL ON FUNCTION analytics._behaviour(public.vector, integer, bigint, bigint, bigint) FROM PUBLIC;
