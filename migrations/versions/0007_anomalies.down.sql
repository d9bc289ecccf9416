DELETE FROM ops.setting AS s
WHERE s.name IN ('window_grace', 'idle_close', 'baseline_weeks');
DROP TABLE analytics.detection;
DROP TABLE analytics.anomaly;
DROP TABLE analytics.baseline;
DROP TABLE analytics.kpi;
DROP SCHEMA analytics;
