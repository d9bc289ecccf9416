-- Returns the customers who use the network most like one, the most alike first. Each is compared, which is
-- exact, and leaves no index in which vectors of the erased would linger. Not for analysts: distances to
-- enough others tell a vector.
CREATE OR REPLACE FUNCTION analytics.similar_customers(p_subscriber_id bigint, p_k integer DEFAULT 10)
RETURNS TABLE (subscriber_id bigint, distance double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(p_k NOT BETWEEN 1 AND 500, true) THEN
        RAISE EXCEPTION 'the number of similar customers cannot be %', p_k
            USING ERRCODE = 'TS045', HINT = 'Ask for 1 to 500.';
    END IF;
    RETURN QUERY
    SELECT o.subscriber_id, o.profile OPERATOR (public.<->) c.profile
    FROM analytics.customer_profile AS c
    INNER JOIN analytics.customer_profile AS o ON c.subscriber_id <> o.subscriber_id
    WHERE c.subscriber_id = p_subscriber_id
    ORDER BY 2, 1
    LIMIT p_k;
END
$$;
COMMENT ON FUNCTION analytics.similar_customers(bigint, integer) IS
'Customers who use the network most like one, the most alike first';
REVOKE ALL ON FUNCTION analytics.similar_customers(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analytics.similar_customers(bigint, integer) TO telestream_api, telestream_privacy;
