-- Who may do what on schemas and tables; views and functions carry their own grants.
GRANT USAGE ON SCHEMA gold, quality, ops, silver, rollup, analytics
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
GRANT USAGE ON SCHEMA bronze, vault TO telestream_loader, telestream_consumer, telestream_privacy;
GRANT SELECT ON silver.dim_region, silver.dim_network_cell, silver.dim_service_plan, silver.dim_time
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
GRANT INSERT, UPDATE ON silver.dim_region, silver.dim_network_cell, silver.dim_service_plan
TO telestream_loader;
GRANT SELECT ON ops.setting, ops.batch, ops.source_file, ops.watermark, rollup.definition, rollup.pending,
rollup.watermark, quality.rule, quality.rule_result
TO telestream_loader, telestream_consumer, telestream_api, telestream_privacy;
GRANT SELECT ON ops.setting, rollup.definition, quality.rule, quality.rule_result TO telestream_analyst;
GRANT INSERT, UPDATE ON ops.batch, ops.source_file, ops.watermark TO telestream_loader, telestream_consumer;
GRANT INSERT ON bronze.cdr TO telestream_loader, telestream_consumer;
GRANT INSERT ON bronze.customer TO telestream_loader;
GRANT INSERT ON bronze.network_event, ops.kafka_slice TO telestream_consumer;
GRANT SELECT ON ops.kafka_offset, ops.kafka_slice TO telestream_loader, telestream_consumer, telestream_api;
GRANT SELECT, INSERT, UPDATE ON ops.dead_letter TO telestream_consumer;
GRANT SELECT ON ops.outbox, analytics.anomaly, analytics.kpi, analytics.baseline, analytics.detection
TO telestream_consumer, telestream_api;
GRANT SELECT ON analytics.anomaly, analytics.kpi, analytics.baseline TO telestream_analyst;
GRANT UPDATE (published_at) ON ops.outbox TO telestream_consumer;
GRANT INSERT ON quality.quarantine TO telestream_loader, telestream_consumer;
GRANT SELECT (
    quarantine_id, dataset, batch_id, line, rules, reason, quarantined_at, replayed_at, replay_batch_id, raw
), UPDATE (raw, replayed_at) ON quality.quarantine TO telestream_loader, telestream_consumer;
GRANT SELECT ON bronze.cdr, bronze.network_event, bronze.customer, silver.fact_cdr, silver.fact_network_event,
silver.customer_change, silver.dim_customer, silver.customer_rekey, ops.dead_letter, quality.quarantine
TO telestream_privacy;
-- Not the token and the encrypted identity: with the key they would show a person without a row in the access
-- log.
GRANT SELECT (subscriber_id, key_id, created_at) ON vault.subscriber TO telestream_privacy;
GRANT SELECT ON vault.key TO telestream_privacy;
-- An engineer inherits what an analyst may read.
GRANT SELECT ON ops.batch, ops.source_file, ops.watermark, ops.kafka_offset, ops.kafka_slice, rollup.pending,
rollup.watermark, ops.outbox, analytics.detection TO telestream_engineer;
GRANT SELECT (
    quarantine_id, dataset, batch_id, line, rules, reason, quarantined_at, replayed_at, replay_batch_id, raw
) ON quality.quarantine TO telestream_engineer;
-- The API before it knows who calls, and what it writes down: no right on any data.
GRANT USAGE ON SCHEMA api, audit, analytics, ops TO telestream_gateway;
GRANT SELECT ON api.key, api.persisted_query, ops.setting TO telestream_gateway;
GRANT UPDATE (last_used_at) ON api.key TO telestream_gateway;
GRANT INSERT ON audit.access_inbox TO telestream_gateway;
GRANT USAGE ON SCHEMA audit, privacy TO telestream_privacy;
GRANT SELECT ON audit.access_log, audit.access_inbox, audit.chain_head, audit.anchor, privacy.masking_rule,
ops.pii_class TO telestream_privacy;
-- Nobody holds this role. Where pgaudit is loaded, it notes who reads what the role could read.
GRANT SELECT ON bronze.cdr, bronze.network_event, bronze.customer, silver.fact_cdr, silver.fact_network_event,
silver.customer_change, silver.dim_customer, silver.customer_rekey, gold.cdr, gold.customer,
gold.customer_history, gold.fact_customer_usage_daily, quality.quarantine, ops.dead_letter, vault.subscriber,
vault.rotated, privacy.erasure TO telestream_audited;
-- What is final, what is archived and how long what is kept; who is under a legal hold is not for everyone.
GRANT SELECT ON ops.horizon, ops.retention_rule, ops.archive_day, ops.archive_column
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
GRANT SELECT, INSERT ON ops.legal_hold TO telestream_privacy;
GRANT UPDATE (until) ON ops.legal_hold TO telestream_privacy;
-- How what is stored: telestream storage show.
GRANT SELECT ON ops.storage_policy
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
-- Not what a running erasure is about.
GRANT SELECT (
    erasure_id, requested_at, requested_by, reason, policy, state, step, rounds, counts, finished_at, proof,
    proof_sha256
) ON privacy.erasure TO telestream_privacy;
-- Lineage: what was read and written, by name and count. The sender takes from the outbox and parks.
GRANT SELECT ON ops.lineage_event, ops.lineage_run, ops.lineage_mark, ops.lineage_outbox
TO telestream_loader, telestream_consumer, telestream_api, telestream_engineer, telestream_privacy;
GRANT UPDATE (attempts, next_attempt_at, problem, parked_at), DELETE ON ops.lineage_outbox
TO telestream_consumer;
-- What is expected of each dataset, what came of it, and what is not judged.
GRANT SELECT ON quality.expectation, quality.expectation_result, quality.incident, quality.maintenance
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
-- Cells are no persons: who reads Gold may read how they behave, and what has run.
GRANT SELECT ON analytics.task, analytics.run, analytics.week, analytics.cell_week,
analytics.cell_fingerprint, analytics.cell_drift
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
-- Cells are no persons: who reads Gold may read what is expected of them.
GRANT SELECT ON analytics.forecast, analytics.capacity_forecast, analytics.forecast_backtest,
analytics.busy_hour
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
-- Cases are about persons and have views; how the rules are set is no secret.
GRANT SELECT ON analytics.fraud_rule, analytics.fraud_threshold
TO telestream_api, telestream_analyst, telestream_privacy;
GRANT SELECT ON gold.fraud_case, gold.fraud_evidence TO telestream_audited;
-- Segments and risks have views; vectors are shown to nobody.
GRANT SELECT ON gold.customer_segment, gold.churn_risk TO telestream_audited;
-- Who is told of alerts, and what was sent: addresses and keys are not here.
GRANT SELECT ON ops.notification_channel, ops.notification
TO telestream_consumer, telestream_api, telestream_engineer;
GRANT UPDATE (is_enabled, min_severity, attempts, next_attempt_at, problem) ON ops.notification_channel
TO telestream_consumer;
GRANT UPDATE (sent_at, refused), DELETE ON ops.notification TO telestream_consumer;
