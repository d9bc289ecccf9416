CREATE OR REPLACE VIEW gold.customer_history AS
SELECT
    d.customer_key,
    d.subscriber_id,
    p.plan_code,
    r.region_code,
    d.segment,
    d.status,
    d.birth_year / 10 * 10 AS birth_decade,
    d.valid_from,
    d.next_from AS valid_to,
    d.is_current,
    d.holds
FROM silver.dim_customer AS d
INNER JOIN silver.dim_service_plan AS p ON d.plan_key = p.plan_key
INNER JOIN silver.dim_region AS r ON d.region_key = r.region_key
WHERE d.customer_key <> 0;
COMMENT ON VIEW gold.customer_history IS
'Customers with their history, one row per version, for analysts: nothing that names a person';
COMMENT ON COLUMN gold.customer_history.customer_key IS 'Key of the version, as in gold.cdr';
COMMENT ON COLUMN gold.customer_history.subscriber_id IS 'Surrogate of the number, as in gold.cdr; 0 is none';
COMMENT ON COLUMN gold.customer_history.plan_code IS 'Service plan';
COMMENT ON COLUMN gold.customer_history.region_code IS 'Home region';
COMMENT ON COLUMN gold.customer_history.segment IS 'Segment as the CRM writes it';
COMMENT ON COLUMN gold.customer_history.status IS
'Status as the CRM writes it; terminated where it deleted the customer';
COMMENT ON COLUMN gold.customer_history.birth_decade IS
'First year of the decade of birth: the year itself may be personal';
COMMENT ON COLUMN gold.customer_history.valid_from IS 'When the version began';
COMMENT ON COLUMN gold.customer_history.valid_to IS 'When it ended, exclusive; null for the current one';
COMMENT ON COLUMN gold.customer_history.is_current IS 'Whether it is the current version';
COMMENT ON COLUMN gold.customer_history.holds IS
'When the number led to this version; of several that claim it the one that began last has it';
GRANT SELECT ON gold.customer_history
TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
