CREATE OR REPLACE VIEW gold.network_kpi_hourly AS
SELECT
    t.bucket,
    c.cell_id,
    c.name AS cell_name,
    r.region_code,
    t.attempts,
    t.answered,
    round(100.0 * t.answered / nullif(t.attempts, 0), 2) AS asr,
    round(t.seconds / nullif(t.answered, 0), 1) AS acd,
    round(100.0 * (t.answered + t.busy + t.no_answer) / nullif(t.attempts, 0), 2) AS ner,
    round(100.0 * t.dropped / nullif(t.answered, 0), 2) AS drop_rate,
    round(t.seconds / 3600.0, 3) AS erlangs,
    t.cell_key,
    t.region_key
FROM (
    SELECT
        v.bucket,
        v.cell_key,
        v.region_key,
        sum(v.attempts) AS attempts,
        sum(v.answered) AS answered,
        sum(v.busy) AS busy,
        sum(v.no_answer) AS no_answer,
        sum(v.dropped) AS dropped,
        sum(v.seconds) AS seconds
    FROM rollup.cell_traffic_1h AS v
    WHERE v.record_type = 'voice'
    GROUP BY v.bucket, v.cell_key, v.region_key
) AS t
INNER JOIN silver.dim_network_cell AS c ON t.cell_key = c.cell_key
INNER JOIN silver.dim_region AS r ON t.region_key = r.region_key;
COMMENT ON VIEW gold.network_kpi_hourly IS 'Voice KPIs by cell and hour';
COMMENT ON COLUMN gold.network_kpi_hourly.bucket IS 'Start of the hour';
COMMENT ON COLUMN gold.network_kpi_hourly.cell_id IS 'Cell as sources write it';
COMMENT ON COLUMN gold.network_kpi_hourly.cell_name IS 'Cell for people';
COMMENT ON COLUMN gold.network_kpi_hourly.region_code IS 'Region of the cell when the records were loaded';
COMMENT ON COLUMN gold.network_kpi_hourly.attempts IS 'Call attempts';
COMMENT ON COLUMN gold.network_kpi_hourly.answered IS 'Answered calls';
COMMENT ON COLUMN gold.network_kpi_hourly.asr IS 'Answer-seizure ratio, per cent: answered / attempts';
COMMENT ON COLUMN gold.network_kpi_hourly.acd IS 'Average call duration, seconds: billed seconds / answered';
COMMENT ON COLUMN gold.network_kpi_hourly.ner IS
'Network effectiveness ratio, per cent: (answered + busy + no answer) / attempts, ITU-T E.411';
COMMENT ON COLUMN gold.network_kpi_hourly.drop_rate IS 'Per cent of answered calls that were lost';
COMMENT ON COLUMN gold.network_kpi_hourly.erlangs IS
'Mean number of calls in progress: billed seconds / seconds of the hour';
COMMENT ON COLUMN gold.network_kpi_hourly.cell_key IS 'Key of silver.dim_network_cell';
COMMENT ON COLUMN gold.network_kpi_hourly.region_key IS 'Key of silver.dim_region';
GRANT SELECT ON gold.network_kpi_hourly
TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
