SET LOCAL ROLE telestream_owner;

CREATE SCHEMA analytics;
COMMENT ON SCHEMA analytics IS 'What is worked out from Gold: baselines and anomalies';

CREATE TABLE analytics.kpi (
    kpi text PRIMARY KEY,
    expression text NOT NULL,
    support text NOT NULL,
    min_support bigint NOT NULL CHECK (min_support > 0),
    direction text NOT NULL CHECK (direction IN ('low', 'high')),
    open_z double precision NOT NULL CHECK (open_z > 0),
    close_z double precision NOT NULL CHECK (close_z > 0 AND close_z <= open_z),
    open_after integer NOT NULL CHECK (open_after BETWEEN 1 AND 12),
    min_change double precision NOT NULL CHECK (min_change >= 0),
    absolute_floor double precision NOT NULL CHECK (absolute_floor >= 0),
    relative_floor double precision NOT NULL CHECK (relative_floor >= 0),
    severity text NOT NULL CHECK (severity IN ('minor', 'major', 'critical')),
    is_enabled boolean NOT NULL DEFAULT true,
    description text NOT NULL,
    CHECK (absolute_floor > 0 OR relative_floor > 0)
);
COMMENT ON TABLE analytics.kpi IS
'What is watched in each cell and from when on it is an anomaly; in force from the next window on';
COMMENT ON COLUMN analytics.kpi.kpi IS 'Name';
COMMENT ON COLUMN analytics.kpi.expression IS
'SQL over w, a window of rollup.network_5m summed over technologies; null: not judged';
COMMENT ON COLUMN analytics.kpi.support IS
'SQL over w: how many observations the value stands on; a low KPI is judged by the baseline''s support';
COMMENT ON COLUMN analytics.kpi.min_support IS 'A window with less support is not judged';
COMMENT ON COLUMN analytics.kpi.direction IS 'low: falling below the baseline is bad; high: rising above it';
COMMENT ON COLUMN analytics.kpi.open_z IS 'Robust z-score from which a window is bad';
COMMENT ON COLUMN analytics.kpi.close_z IS 'Robust z-score below which an open anomaly ends';
COMMENT ON COLUMN analytics.kpi.open_after IS 'How many bad windows in a row open an anomaly';
COMMENT ON COLUMN analytics.kpi.min_change IS 'Smallest change relative to the median that counts';
COMMENT ON COLUMN analytics.kpi.absolute_floor IS 'Least spread assumed, in the unit of the KPI';
COMMENT ON COLUMN analytics.kpi.relative_floor IS 'Least spread assumed, relative to the median';
COMMENT ON COLUMN analytics.kpi.severity IS 'Severity of the alert';
COMMENT ON COLUMN analytics.kpi.is_enabled IS 'False switches it off';
COMMENT ON COLUMN analytics.kpi.description IS 'What it means, for people';

INSERT INTO analytics.kpi (
    kpi, expression, support, min_support, direction, open_z, close_z, open_after, min_change,
    absolute_floor, relative_floor, severity, description
) VALUES
(
    'events', 'w.events', 'w.events', 20, 'low', 2, 1, 1, 0.9, 1, 0.1, 'critical',
    'The cell reports next to nothing: outage'
),
(
    'activity', 'CASE WHEN w.kpi_samples > 0 THEN w.attaches + w.rrc_setups + w.handovers + w.detaches END',
    'w.attaches + w.rrc_setups + w.handovers + w.detaches', 8, 'low', 2, 1, 2, 0.9, 1, 0.1, 'critical',
    'The cell reports but serves nobody: sleeping cell'
),
(
    'drop_rate_pct', '100.0 * w.drops / nullif(w.attaches + w.rrc_setups + w.handovers, 0)',
    'w.attaches + w.rrc_setups + w.handovers', 100, 'high', 5, 3, 2, 1, 1.5, 0.1, 'major',
    'Lost connections per 100 attaches, set-ups and handovers'
),
(
    'handover_failure_pct', '100.0 * w.handover_failures / nullif(w.handovers, 0)',
    'w.handovers', 30, 'high', 5, 3, 2, 1, 3, 0.1, 'major',
    'Failed handovers per 100'
),
(
    'latency_ms', 'w.latency_us_sum / 1000.0 / nullif(w.latency_samples, 0)',
    'w.latency_samples', 10, 'high', 6, 3, 2, 0.5, 1, 0.1, 'major',
    'Mean round trip: congestion'
),
(
    'throughput_down_kbps', '1.0 * w.throughput_down_kbps_sum / nullif(w.throughput_samples, 0)',
    'w.throughput_samples', 10, 'low', 4, 2, 2, 0.5, 100, 0.1, 'major',
    'Mean throughput to subscribers: congestion'
),
(
    'packet_loss_pct', 'w.loss_milli_sum / 1000.0 / nullif(w.loss_samples, 0)',
    'w.loss_samples', 10, 'high', 6, 3, 2, 1, 0.3, 0.1, 'major',
    'Mean packet loss: congestion'
),
(
    'rsrp_dbm', 'w.rsrp_centi_sum / 100.0 / nullif(w.rsrp_samples, 0)',
    'w.rsrp_samples', 10, 'low', 4, 2, 3, 0.03, 1, 0.005, 'minor',
    'Mean signal strength: antenna or feeder drifting'
);

CREATE TABLE analytics.baseline (
    hour_at timestamptz NOT NULL,
    cell_key integer NOT NULL,
    kpi text NOT NULL REFERENCES analytics.kpi ON DELETE CASCADE,
    median double precision NOT NULL,
    mad double precision NOT NULL,
    support double precision NOT NULL,
    windows integer NOT NULL,
    is_seasonal boolean NOT NULL,
    PRIMARY KEY (hour_at, cell_key, kpi)
);
COMMENT ON TABLE analytics.baseline IS
'What is normal for a cell in an hour: the same hour of the past weeks, else the windows just before';
COMMENT ON COLUMN analytics.baseline.hour_at IS 'The hour it is used in';
COMMENT ON COLUMN analytics.baseline.cell_key IS 'Cell';
COMMENT ON COLUMN analytics.baseline.kpi IS 'KPI';
COMMENT ON COLUMN analytics.baseline.median IS 'Median over the windows';
COMMENT ON COLUMN analytics.baseline.mad IS 'Median absolute deviation from it';
COMMENT ON COLUMN analytics.baseline.support IS 'Median support of a window';
COMMENT ON COLUMN analytics.baseline.windows IS 'Windows it was made of';
COMMENT ON COLUMN analytics.baseline.is_seasonal IS 'Whether of past weeks, or of the windows just before';

CREATE TABLE analytics.anomaly (
    anomaly_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cell_key integer NOT NULL,
    kpi text NOT NULL,
    direction text NOT NULL,
    severity text NOT NULL,
    started_at timestamptz NOT NULL,
    peak_at timestamptz NOT NULL,
    peak_value double precision NOT NULL,
    peak_z double precision NOT NULL,
    seen_to timestamptz NOT NULL,
    ended_at timestamptz,
    median double precision NOT NULL,
    mad double precision NOT NULL,
    query text NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,
    detected_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX anomaly_open ON analytics.anomaly (cell_key, kpi) WHERE ended_at IS NULL;
CREATE INDEX anomaly_cell ON analytics.anomaly (cell_key, started_at);
COMMENT ON TABLE analytics.anomaly IS 'Anomalies; at most one is open per cell and KPI';
COMMENT ON COLUMN analytics.anomaly.anomaly_id IS 'Surrogate key';
COMMENT ON COLUMN analytics.anomaly.cell_key IS 'Cell';
COMMENT ON COLUMN analytics.anomaly.kpi IS 'KPI, see analytics.kpi';
COMMENT ON COLUMN analytics.anomaly.direction IS 'low or high';
COMMENT ON COLUMN analytics.anomaly.severity IS 'minor, major or critical';
COMMENT ON COLUMN analytics.anomaly.started_at IS 'Start of the first bad window';
COMMENT ON COLUMN analytics.anomaly.peak_at IS 'Start of the worst window';
COMMENT ON COLUMN analytics.anomaly.peak_value IS 'Value in the worst window';
COMMENT ON COLUMN analytics.anomaly.peak_z IS 'Robust z-score of the worst window, by its size';
COMMENT ON COLUMN analytics.anomaly.seen_to IS 'End of the last window judged';
COMMENT ON COLUMN analytics.anomaly.ended_at IS 'Start of the first good window after it; null while open';
COMMENT ON COLUMN analytics.anomaly.median IS 'Baseline median when it opened';
COMMENT ON COLUMN analytics.anomaly.mad IS 'Baseline spread when it opened, floors included';
COMMENT ON COLUMN analytics.anomaly.query IS 'Query that shows it, over from_at to to_at';
COMMENT ON COLUMN analytics.anomaly.from_at IS 'Start of the time to look at: two hours before it';
COMMENT ON COLUMN analytics.anomaly.to_at IS
'End of the time to look at: half an hour after the last window';
COMMENT ON COLUMN analytics.anomaly.detected_at IS 'When it was written';

CREATE TABLE analytics.detection (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    evaluated_to timestamptz
);
COMMENT ON TABLE analytics.detection IS 'How far the windows have been judged';
COMMENT ON COLUMN analytics.detection.only_row IS 'There is one row';
COMMENT ON COLUMN analytics.detection.evaluated_to IS 'End of the last window judged';
INSERT INTO analytics.detection DEFAULT VALUES;

INSERT INTO ops.setting (name, value, description) VALUES
('window_grace', '5 seconds', 'A 5-minute window is judged once the stream is this far past its end'),
(
    'idle_close', '1 minute',
    'A live stream that is read to its end and silent this long lets its windows close by the clock'
),
('baseline_weeks', '6', 'How many past weeks the baseline of an hour looks at');

RESET ROLE;
