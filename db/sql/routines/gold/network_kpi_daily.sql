CREATE OR REPLACE VIEW gold.network_kpi_daily AS
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
    round(t.seconds / extract(EPOCH FROM date_add(
        t.bucket, interval '1 day', (
            SELECT s.value FROM ops.setting AS s
            WHERE s.name = 'time_zone'
        )
    ) - t.bucket), 3) AS erlangs,
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
    FROM rollup.cell_traffic_1d AS v
    WHERE v.record_type = 'voice'
    GROUP BY v.bucket, v.cell_key, v.region_key
) AS t
INNER JOIN silver.dim_network_cell AS c ON t.cell_key = c.cell_key
INNER JOIN silver.dim_region AS r ON t.region_key = r.region_key;
COMMENT ON VIEW gold.network_kpi_daily IS 'Voice KPIs by cell and day';
COMMENT ON COLUMN gold.network_kpi_daily.bucket IS 'Start of the day';
COMMENT ON COLUMN gold.network_kpi_daily.cell_id IS 'Cell as sources write it';
COMMENT ON COLUMN gold.network_kpi_daily.cell_name IS 'Cell for people';
COMMENT ON COLUMN gold.network_kpi_daily.region_code IS 'Region of the cell when the records were loaded';
COMMENT ON COLUMN gold.network_kpi_daily.attempts IS 'Call attempts';
COMMENT ON COLUMN gold.network_kpi_daily.answered IS 'Answered calls';
COMMENT ON COLUMN gold.network_kpi_daily.asr IS 'Answer-seizure ratio, per cent: answered / attempts';
COMMENT ON COLUMN gold.network_kpi_daily.acd IS 'Average call duration, seconds: billed seconds / answered';
COMMENT ON COLUMN gold.network_kpi_daily.ner IS
'Network effectiveness ratio, per cent: (answered + busy + no answer) / attempts, ITU-T E.411';
COMMENT ON COLUMN gold.network_kpi_daily.drop_rate IS 'Per cent of answered calls that were lost';
COMMENT ON COLUMN gold.network_kpi_daily.erlangs IS
'Mean number of calls in progress: billed seconds / seconds of the day';
COMMENT ON COLUMN gold.network_kpi_daily.cell_key IS 'Key of silver.dim_network_cell';
COMMENT ON COLUMN gold.network_kpi_daily.region_key IS 'Key of silver.dim_region';
GRANT SELECT ON gold.network_kpi_daily
TO telestream_loader, telestream_api, telestream_analyst, telestream_privacy;
