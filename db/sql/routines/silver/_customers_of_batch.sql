-- Returns for the persons of the batch in hand (pg_temp._identity) which version of a customer their number
-- leads to, and when. No two spans of a number overlap. A function, so that it looks each number up in the
-- index while the refine around it hashes every join; where no customer was ever loaded it costs nothing.
CREATE OR REPLACE FUNCTION silver._customers_of_batch()
RETURNS TABLE (
    subscriber_id bigint, valid_from timestamptz, valid_to timestamptz, customer_key integer, plan_key integer
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = on
SET enable_mergejoin = on
AS $$
BEGIN
    IF EXISTS (SELECT FROM silver.dim_customer AS d WHERE d.subscriber_id <> 0) THEN
        RETURN QUERY
        SELECT d.subscriber_id, lower(h.span), coalesce(upper(h.span), 'infinity'), d.customer_key, d.plan_key
        FROM pg_temp._identity AS i
        INNER JOIN silver.dim_customer AS d ON i.subscriber_id = d.subscriber_id AND d.subscriber_id <> 0
        CROSS JOIN LATERAL unnest(d.holds) AS h (span);
    END IF;
END
$$;
COMMENT ON FUNCTION silver._customers_of_batch() IS
'Which version of a customer the numbers of the batch in hand lead to, and when';
REVOKE ALL ON FUNCTION silver._customers_of_batch() FROM PUBLIC;
