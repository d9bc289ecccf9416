CREATE OR REPLACE VIEW gold.anomaly AS
SELECT
    a.anomaly_id,
    c.cell_id,
    c.name AS cell_name,
    r.region_code,
    a.kpi,
    k.description,
    a.severity,
    a.direction,
    a.started_at,
    a.peak_at,
    a.peak_value,
    a.peak_z,
    a.median,
    a.ended_at,
    a.ended_at IS NULL AS is_open,
    a.query,
    a.from_at,
    a.to_at,
    a.detected_at,
    a.cell_key,
    a.acknowledged_at,
    a.acknowledged_by,
    a.acknowledge_note
FROM analytics.anomaly AS a
INNER JOIN analytics.kpi AS k ON a.kpi = k.kpi
INNER JOIN silver.dim_network_cell AS c ON a.cell_key = c.cell_key
INNER JOIN silver.dim_region AS r ON c.region_key = r.region_key;
COMMENT ON VIEW gold.anomaly IS 'Anomalies of cells, open and ended';
COMMENT ON COLUMN gold.anomaly.anomaly_id IS 'Key, the same as in alerts';
COMMENT ON COLUMN gold.anomaly.cell_id IS 'Cell as sources write it';
COMMENT ON COLUMN gold.anomaly.cell_name IS 'Cell for people';
COMMENT ON COLUMN gold.anomaly.region_code IS 'Region of the cell';
COMMENT ON COLUMN gold.anomaly.kpi IS 'KPI, see analytics.kpi';
COMMENT ON COLUMN gold.anomaly.description IS 'What it means';
COMMENT ON COLUMN gold.anomaly.severity IS 'minor, major or critical';
COMMENT ON COLUMN gold.anomaly.direction IS 'low: below normal; high: above';
COMMENT ON COLUMN gold.anomaly.started_at IS 'Start of the first bad window';
COMMENT ON COLUMN gold.anomaly.peak_at IS 'Start of the worst window';
COMMENT ON COLUMN gold.anomaly.peak_value IS 'Value in the worst window';
COMMENT ON COLUMN gold.anomaly.peak_z IS 'Robust z-score of the worst window';
COMMENT ON COLUMN gold.anomaly.median IS 'What was normal';
COMMENT ON COLUMN gold.anomaly.ended_at IS 'Start of the first good window after it; null while open';
COMMENT ON COLUMN gold.anomaly.is_open IS 'True until it ends';
COMMENT ON COLUMN gold.anomaly.query IS 'Query that shows it';
COMMENT ON COLUMN gold.anomaly.from_at IS 'Start of the time to look at';
COMMENT ON COLUMN gold.anomaly.to_at IS 'End of the time to look at';
COMMENT ON COLUMN gold.anomaly.detected_at IS 'When it was found';
COMMENT ON COLUMN gold.anomaly.cell_key IS 'Key of silver.dim_network_cell';
COMMENT ON COLUMN gold.anomaly.acknowledged_at IS 'When somebody took charge of it; null: nobody has';
COMMENT ON COLUMN gold.anomaly.acknowledged_by IS 'Who did: key:<key_id> or jwt:<subject>';
COMMENT ON COLUMN gold.anomaly.acknowledge_note IS 'What they wrote';
GRANT SELECT ON gold.anomaly
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
