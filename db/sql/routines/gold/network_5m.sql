-- requires: gold/latency_percentile.sql
CREATE OR REPLACE VIEW gold.network_5m AS
SELECT
    t.bucket,
    c.cell_id,
    c.name AS cell_name,
    r.region_code,
    t.technology,
    t.events,
    t.kpi_samples,
    t.attaches,
    t.attach_failures,
    t.detaches,
    t.rrc_setups,
    t.rrc_failures,
    t.handovers,
    t.handover_failures,
    t.drops,
    t.alarms,
    t.late_events,
    round(t.rsrp_centi_sum / 100.0 / nullif(t.rsrp_samples, 0), 2) AS rsrp_dbm_mean,
    t.rsrp_dbm_min,
    round(t.sinr_centi_sum / 100.0 / nullif(t.sinr_samples, 0), 2) AS sinr_db_mean,
    round(t.latency_us_sum / 1000.0 / nullif(t.latency_samples, 0), 3) AS latency_ms_mean,
    gold.latency_percentile(
        0.95,
        ARRAY[
            t.latency_le_5, t.latency_le_10, t.latency_le_15, t.latency_le_20, t.latency_le_30,
            t.latency_le_40, t.latency_le_60, t.latency_le_80, t.latency_le_120, t.latency_le_200,
            t.latency_le_500, t.latency_le_1000, t.latency_over
        ],
        t.latency_ms_max
    ) AS latency_ms_p95,
    t.latency_ms_max,
    round(t.loss_milli_sum / 1000.0 / nullif(t.loss_samples, 0), 3) AS packet_loss_pct_mean,
    round(
        t.throughput_down_kbps_sum / nullif(t.throughput_samples, 0)::numeric
    ) AS throughput_down_kbps_mean,
    round(t.throughput_up_kbps_sum / nullif(t.throughput_samples, 0)::numeric) AS throughput_up_kbps_mean,
    t.cell_key,
    c.region_key,
    t.rsrp_samples,
    t.sinr_samples,
    t.latency_samples,
    t.loss_samples,
    t.throughput_samples,
    ARRAY[
        t.latency_le_5, t.latency_le_10, t.latency_le_15, t.latency_le_20, t.latency_le_30,
        t.latency_le_40, t.latency_le_60, t.latency_le_80, t.latency_le_120, t.latency_le_200,
        t.latency_le_500, t.latency_le_1000, t.latency_over
    ]::bigint[] AS latency_counts
FROM rollup.network_5m AS t
INNER JOIN silver.dim_network_cell AS c ON t.cell_key = c.cell_key
INNER JOIN silver.dim_region AS r ON c.region_key = r.region_key;
COMMENT ON VIEW gold.network_5m IS 'Network events by cell and technology, per 5 minutes';
COMMENT ON COLUMN gold.network_5m.bucket IS 'Start of the 5 minutes';
COMMENT ON COLUMN gold.network_5m.cell_id IS 'Cell as sources write it';
COMMENT ON COLUMN gold.network_5m.cell_name IS 'Cell for people';
COMMENT ON COLUMN gold.network_5m.region_code IS 'Region of the cell';
COMMENT ON COLUMN gold.network_5m.technology IS '2g, 3g, 4g, 5g or unknown';
COMMENT ON COLUMN gold.network_5m.events IS 'Events';
COMMENT ON COLUMN gold.network_5m.kpi_samples IS 'Measurements reported';
COMMENT ON COLUMN gold.network_5m.attaches IS 'Attaches';
COMMENT ON COLUMN gold.network_5m.attach_failures IS 'Of these, failed';
COMMENT ON COLUMN gold.network_5m.detaches IS 'Detaches';
COMMENT ON COLUMN gold.network_5m.rrc_setups IS 'Connection set-ups';
COMMENT ON COLUMN gold.network_5m.rrc_failures IS 'Of these, failed';
COMMENT ON COLUMN gold.network_5m.handovers IS 'Handovers';
COMMENT ON COLUMN gold.network_5m.handover_failures IS 'Of these, failed';
COMMENT ON COLUMN gold.network_5m.drops IS 'Lost connections';
COMMENT ON COLUMN gold.network_5m.alarms IS 'Alarms';
COMMENT ON COLUMN gold.network_5m.late_events IS 'Events that came late';
COMMENT ON COLUMN gold.network_5m.rsrp_dbm_mean IS 'Mean reference signal received power, dBm';
COMMENT ON COLUMN gold.network_5m.rsrp_dbm_min IS 'Lowest, dBm';
COMMENT ON COLUMN gold.network_5m.sinr_db_mean IS 'Mean signal to interference and noise ratio, dB';
COMMENT ON COLUMN gold.network_5m.latency_ms_mean IS 'Mean round trip, ms';
COMMENT ON COLUMN gold.network_5m.latency_ms_p95 IS
'95th percentile of the round trip, ms, interpolated within fixed bounds: an approximation';
COMMENT ON COLUMN gold.network_5m.latency_ms_max IS 'Longest round trip, ms';
COMMENT ON COLUMN gold.network_5m.packet_loss_pct_mean IS 'Mean packet loss, per cent';
COMMENT ON COLUMN gold.network_5m.throughput_down_kbps_mean IS 'Mean throughput to subscribers, kbit/s';
COMMENT ON COLUMN gold.network_5m.throughput_up_kbps_mean IS 'Mean throughput from subscribers, kbit/s';
COMMENT ON COLUMN gold.network_5m.cell_key IS 'Key of silver.dim_network_cell';
COMMENT ON COLUMN gold.network_5m.region_key IS 'Key of silver.dim_region';
COMMENT ON COLUMN gold.network_5m.rsrp_samples IS 'Measurements behind rsrp_dbm_mean: weight it by them';
COMMENT ON COLUMN gold.network_5m.sinr_samples IS 'Measurements behind sinr_db_mean';
COMMENT ON COLUMN gold.network_5m.latency_samples IS 'Measurements behind latency_ms_mean';
COMMENT ON COLUMN gold.network_5m.loss_samples IS 'Measurements behind packet_loss_pct_mean';
COMMENT ON COLUMN gold.network_5m.throughput_samples IS 'Measurements behind the means of throughput';
COMMENT ON COLUMN gold.network_5m.latency_counts IS
'Round trips by the bounds of gold.latency_percentile: add them up, then ask it for a percentile';
GRANT SELECT ON gold.network_5m
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
