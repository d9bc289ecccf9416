-- Compares two mixes of values, records per value: the population stability index, and the value whose share
-- moved most. The index is the sum of (p - q) ln(p / q); shares below 0.0001 count as that, so that it stays
-- finite. Below 0.1 is noise, above 0.25 is another mix.
CREATE OR REPLACE FUNCTION quality._mix_change(
    p_now jsonb, p_then jsonb, OUT o_index double precision, OUT o_moved text
)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH part AS (
        SELECT
            coalesce(n.key, t.key) AS name,
            greatest(coalesce(n.value, 0) / sum(n.value) OVER (), 0.0001) AS p,
            greatest(coalesce(t.value, 0) / sum(t.value) OVER (), 0.0001) AS q
        FROM (SELECT e.key, e.value::double precision AS value FROM jsonb_each_text(p_now) AS e) AS n
        FULL JOIN (SELECT e.key, e.value::double precision AS value FROM jsonb_each_text(p_then) AS e) AS t
            ON n.key = t.key
    )
    SELECT
        sum((p.p - p.q) * ln(p.p / p.q)),
        (array_agg(p.name ORDER BY abs(p.p - p.q) DESC, p.name))[1]
    FROM part AS p
$$;
COMMENT ON FUNCTION quality._mix_change(jsonb, jsonb) IS 'Population stability index of two mixes of values';
REVOKE ALL ON FUNCTION quality._mix_change(jsonb, jsonb) FROM PUBLIC;
