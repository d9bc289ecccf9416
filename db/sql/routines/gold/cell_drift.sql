CREATE OR REPLACE VIEW gold.cell_drift AS
SELECT
    d.week,
    c.cell_id,
    c.name AS cell_name,
    c.technology,
    r.region_code,
    d.distance,
    d.by_chance,
    d.distance > 2 * d.by_chance AND d.distance > 0.15 AS is_drifting,
    d.records,
    d.past_records,
    d.past_weeks,
    d.built_at,
    d.cell_key
FROM analytics.cell_drift AS d
INNER JOIN silver.dim_network_cell AS c ON d.cell_key = c.cell_key
INNER JOIN silver.dim_region AS r ON c.region_key = r.region_key;
COMMENT ON VIEW gold.cell_drift IS 'How far a week of a cell lies from its own weeks before';
COMMENT ON COLUMN gold.cell_drift.week IS 'Monday of the week, in the operator''s time zone';
COMMENT ON COLUMN gold.cell_drift.cell_id IS 'Cell as sources write it';
COMMENT ON COLUMN gold.cell_drift.cell_name IS 'Cell for people';
COMMENT ON COLUMN gold.cell_drift.technology IS '2g, 3g, 4g, 5g, fixed or ip';
COMMENT ON COLUMN gold.cell_drift.region_code IS 'Region of the cell';
COMMENT ON COLUMN gold.cell_drift.distance IS 'Distance of the two profiles, 0 to about 1.5';
COMMENT ON COLUMN gold.cell_drift.by_chance IS
'Distance that as few records would show if nothing had changed';
COMMENT ON COLUMN gold.cell_drift.is_drifting IS 'More than 0.15, and more than twice what chance would show';
COMMENT ON COLUMN gold.cell_drift.records IS 'Records and connections of the week';
COMMENT ON COLUMN gold.cell_drift.past_records IS 'Of the weeks before';
COMMENT ON COLUMN gold.cell_drift.past_weeks IS 'How many weeks before it was held against';
COMMENT ON COLUMN gold.cell_drift.built_at IS 'When it was worked out';
COMMENT ON COLUMN gold.cell_drift.cell_key IS 'Key of silver.dim_network_cell';
GRANT SELECT ON gold.cell_drift
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
