CREATE OR REPLACE VIEW gold.customer AS
SELECT
    d.customer_key,
    d.subscriber_id,
    p.plan_code,
    r.region_code,
    d.segment,
    d.status,
    d.birth_year / 10 * 10 AS birth_decade,
    d.valid_from
FROM silver.dim_customer AS d
INNER JOIN silver.dim_service_plan AS p ON d.plan_key = p.plan_key
INNER JOIN silver.dim_region AS r ON d.region_key = r.region_key
WHERE d.is_current AND d.customer_key <> 0;
COMMENT ON VIEW gold.customer IS
'Customers as they are now, one row each, for analysts: nothing that names a person';
COMMENT ON COLUMN gold.customer.customer_key IS 'Key of the current version';
COMMENT ON COLUMN gold.customer.subscriber_id IS 'Surrogate of the number, as in gold.cdr; 0 is none';
COMMENT ON COLUMN gold.customer.plan_code IS 'Service plan';
COMMENT ON COLUMN gold.customer.region_code IS 'Home region';
COMMENT ON COLUMN gold.customer.segment IS 'Segment as the CRM writes it';
COMMENT ON COLUMN gold.customer.status IS
'Status as the CRM writes it; terminated where it deleted the customer';
COMMENT ON COLUMN gold.customer.birth_decade IS
'First year of the decade of birth: the year itself may be personal';
COMMENT ON COLUMN gold.customer.valid_from IS 'Since when all this holds';
GRANT SELECT ON gold.customer TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
