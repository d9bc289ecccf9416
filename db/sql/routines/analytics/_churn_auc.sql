-- Returns how many rows of pg_temp._churn_row are held back at a week, and the area under the ROC curve on
-- them: the probability that one who churned has the higher risk of two. Null where none or all did.
CREATE OR REPLACE FUNCTION analytics._churn_auc(
    p_coefficients double precision[], p_is_later boolean, OUT o_rows bigint, OUT o_auc double precision
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
    SELECT
        count(*),
        (
            sum(s.place) FILTER (WHERE s.is_churned)
            - (count(*) FILTER (WHERE s.is_churned)) * ((count(*) FILTER (WHERE s.is_churned)) + 1) / 2.0
        ) / nullif(
            (count(*) FILTER (WHERE s.is_churned))::double precision * count(*) FILTER (WHERE NOT s.is_churned), 0
        )
    INTO o_rows, o_auc
    FROM (
        SELECT
            o.is_churned,
            -- Equal ones share the middle of their places.
            rank() OVER (ORDER BY o.odds) + (count(*) OVER (PARTITION BY o.odds) - 1) / 2.0 AS place
        FROM (
            -- The intercept is the same for all.
            SELECT
                r.is_churned,
                (
                    SELECT sum(p_coefficients[x.n + 1] * x.value)
                    FROM unnest(r.x) WITH ORDINALITY AS x (value, n)
                ) AS odds
            FROM pg_temp._churn_row AS r
            WHERE r.is_held AND r.is_later = p_is_later
        ) AS o
    ) AS s;
END
$$;
COMMENT ON FUNCTION analytics._churn_auc(double precision[], boolean) IS
'Area under the ROC curve on what was held back';
REVOKE ALL ON FUNCTION analytics._churn_auc(double precision[], boolean) FROM PUBLIC;
