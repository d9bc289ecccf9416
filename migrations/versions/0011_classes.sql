SET LOCAL ROLE telestream_owner;

-- Classes of columns -----------------------------------------------------------------------------

CREATE TABLE ops.pii_class (
    schema_name text NOT NULL,
    table_name text NOT NULL,
    column_name text NOT NULL,
    pii_class text NOT NULL CHECK (
        pii_class IN ('none', 'pseudonym', 'quasi', 'identifier', 'content', 'encrypted', 'secret', 'staff')
    ),
    PRIMARY KEY (schema_name, table_name, column_name)
);
COMMENT ON TABLE ops.pii_class IS
'What each column says of a person. A column without a row is unclassified: no masked view shows it';
COMMENT ON COLUMN ops.pii_class.schema_name IS 'Schema of the table';
COMMENT ON COLUMN ops.pii_class.table_name IS 'Table';
COMMENT ON COLUMN ops.pii_class.column_name IS 'Column';
COMMENT ON COLUMN ops.pii_class.pii_class IS
'none; pseudonym: a surrogate; quasi: singles out together with others; '
'identifier: names a person or device; '
'content: text that may hold anything; encrypted; secret: a key or its hash; '
'staff: who works with the platform';

INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
SELECT
    c.schema_name,
    c.table_name,
    n.column_name,
    c.pii_class
FROM (
    VALUES
    (
        'analytics', 'anomaly', 'none',
        '{anomaly_id,cell_key,kpi,direction,severity,started_at,peak_at,peak_value,peak_z}'
    ),
    (
        'analytics', 'anomaly', 'none',
        '{seen_to,ended_at,median,mad,query,from_at,to_at,detected_at,acknowledged_at}'
    ),
    ('analytics', 'anomaly', 'staff', '{acknowledged_by,acknowledge_note}'),
    ('analytics', 'baseline', 'none', '{hour_at,cell_key,kpi,median,mad,support,windows,is_seasonal}'),
    ('analytics', 'detection', 'none', '{only_row,evaluated_to}'),
    (
        'analytics', 'kpi', 'none',
        '{kpi,expression,support,min_support,direction,open_z,close_z,open_after,min_change}'
    ),
    ('analytics', 'kpi', 'none', '{absolute_floor,relative_floor,severity,is_enabled,description}'),
    (
        'api', 'key', 'none',
        '{key_id,role,scopes,rate_per_minute,expires_at,revoked_at,created_at,last_used_at}'
    ),
    ('api', 'key', 'secret', '{secret_sha256}'),
    ('api', 'key', 'staff', '{name}'),
    ('api', 'persisted_query', 'none', '{document_sha256,document,name,created_at}'),
    (
        'audit', 'access_inbox', 'none',
        '{access_id,at,role,operation,field,variables_sha256,rows_read,request_id}'
    ),
    ('audit', 'access_inbox', 'pseudonym', '{object_ids}'),
    ('audit', 'access_inbox', 'content', '{reason}'),
    ('audit', 'access_inbox', 'staff', '{principal}'),
    (
        'audit', 'access_log', 'none',
        '{position,logged_at,access_id,at,role,operation,field,variables_sha256,rows_read}'
    ),
    ('audit', 'access_log', 'none', '{request_id,chain}'),
    ('audit', 'access_log', 'pseudonym', '{object_ids}'),
    ('audit', 'access_log', 'content', '{reason}'),
    ('audit', 'access_log', 'staff', '{principal}'),
    (
        'audit', 'anchor', 'none',
        '{position,chain,partition_name,rows_dropped,first_logged_at,last_logged_at,dropped_at}'
    ),
    ('audit', 'chain_head', 'none', '{only_row,position,logged_at,chain}'),
    (
        'bronze', 'cdr', 'none',
        '{source_system,leg,record_type,direction,cell_id,region_code,technology,plan_code}'
    ),
    ('bronze', 'cdr', 'none', '{currency,disposition,is_roaming}'),
    (
        'bronze', 'cdr', 'quasi',
        '{apn,native_key,batch_id,line,started_at,answered_at,ended_at,duration_s,billed_s}'
    ),
    ('bronze', 'cdr', 'quasi', '{bytes_up,bytes_down,charge_micro}'),
    ('bronze', 'cdr', 'identifier', '{caller,called,imsi,imei}'),
    ('bronze', 'cdr', 'content', '{extras,cause}'),
    (
        'bronze', 'network_event', 'none',
        '{source_system,event_type,outcome,cell_id,technology,severity,is_late}'
    ),
    (
        'bronze', 'network_event', 'quasi',
        '{event_id,batch_id,line,event_at,rsrp_dbm,rsrq_db,sinr_db,latency_ms,throughput_up_kbps}'
    ),
    ('bronze', 'network_event', 'quasi', '{throughput_down_kbps,packet_loss_pct}'),
    ('bronze', 'network_event', 'identifier', '{subscriber}'),
    ('bronze', 'network_event', 'content', '{payload,cause}'),
    ('ops', 'applied_routine', 'none', '{path,sha256,applied_at}'),
    (
        'ops', 'batch', 'none',
        '{batch_id,dataset,source_kind,file_id,segment_number,start_position,end_position}'
    ),
    (
        'ops', 'batch', 'none',
        '{first_line,next_line,promises,rows_in,rows_loaded,rows_duplicate,rows_quarantined}'
    ),
    (
        'ops', 'batch', 'none',
        '{rows_late,min_event_at,max_event_at,status,code_version,started_at,finished_at}'
    ),
    (
        'ops', 'dead_letter', 'none',
        '{dead_letter_id,batch_id,incarnation,topic,partition,kafka_offset,reason,received_at}'
    ),
    ('ops', 'dead_letter', 'none', '{published_at}'),
    ('ops', 'dead_letter', 'content', '{key,value,detail}'),
    (
        'ops', 'kafka_offset', 'none',
        '{incarnation,topic,partition,next_offset,epoch,owner,log_end,event_at,claimed_at}'
    ),
    ('ops', 'kafka_offset', 'none', '{updated_at}'),
    ('ops', 'kafka_slice', 'none', '{batch_id,incarnation,topic,partition,first_offset,first_line,messages}'),
    ('ops', 'outbox', 'none', '{outbox_id,alert_id,topic,key,payload,created_at,published_at}'),
    ('ops', 'pii_class', 'none', '{schema_name,table_name,column_name,pii_class}'),
    ('ops', 'setting', 'none', '{name,value,description}'),
    (
        'ops', 'source_file', 'none',
        '{file_id,dataset,content_hash,uri,size_bytes,modified_at,profile,profile_hash}'
    ),
    ('ops', 'source_file', 'none', '{segment_size,status,reason,code_version,started_at,finished_at}'),
    ('ops', 'watermark', 'none', '{dataset,source,event_at,position,updated_at}'),
    ('privacy', 'mask_salt', 'none', '{role}'),
    ('privacy', 'mask_salt', 'secret', '{salt}'),
    ('privacy', 'masking_rule', 'none', '{schema_name,table_name,column_name,role,mask,arguments,reason}'),
    (
        'quality', 'quarantine', 'none',
        '{quarantine_id,dataset,batch_id,line,rules,quarantined_at,replayed_at,replay_batch_id}'
    ),
    ('quality', 'quarantine', 'content', '{raw,record,reason}'),
    ('quality', 'rule', 'none', '{dataset,rule,dimension,severity,predicate,message,is_enabled}'),
    ('quality', 'rule_result', 'none', '{batch_id,rule,violations}'),
    (
        'silver', 'dim_network_cell', 'none',
        '{cell_key,cell_id,name,technology,latitude,longitude,region_key,is_placeholder}'
    ),
    ('silver', 'dim_network_cell', 'none', '{created_at}'),
    ('silver', 'dim_region', 'none', '{region_key,region_code,name,parent_key,is_placeholder}'),
    ('silver', 'dim_service_plan', 'none', '{plan_key,plan_code,name,monthly_fee,currency,is_placeholder}'),
    ('silver', 'dim_time', 'none', '{day,year,quarter,month,iso_week,iso_weekday,is_weekend}'),
    (
        'silver', 'fact_cdr', 'none',
        '{cdr_id,started_at,answered_at,ended_at,batch_id,source_line,bytes_up,bytes_down}'
    ),
    (
        'silver', 'fact_cdr', 'none',
        '{charge_micro,duration_s,billed_s,cell_key,region_key,plan_key,is_roaming,source_system}'
    ),
    ('silver', 'fact_cdr', 'none', '{record_type,direction,technology,disposition,currency}'),
    ('silver', 'fact_cdr', 'none', '{is_plan_of_customer}'),
    ('silver', 'fact_cdr', 'pseudonym', '{customer_key}'),
    (
        'bronze', 'customer', 'none',
        '{batch_id,line,source_system,changed_at,is_deleted,plan_code,region_code,segment,status}'
    ),
    ('bronze', 'customer', 'identifier', '{customer_id,msisdn}'),
    ('bronze', 'customer', 'quasi', '{birth_year}'),
    (
        'silver', 'customer_change', 'none',
        '{changed_at,source_system,plan_key,region_key,segment,status,attributes_hash,batch_id,source_line}'
    ),
    ('silver', 'customer_change', 'identifier', '{customer_id}'),
    ('silver', 'customer_change', 'pseudonym', '{subscriber_id}'),
    ('silver', 'customer_change', 'quasi', '{birth_year}'),
    (
        'silver', 'dim_customer', 'none',
        '{plan_key,region_key,segment,status,valid_from,valid_to,is_current,next_from,holds,attributes_hash}'
    ),
    ('silver', 'dim_customer', 'none', '{source_system,batch_id}'),
    ('silver', 'dim_customer', 'identifier', '{customer_id}'),
    ('silver', 'dim_customer', 'pseudonym', '{customer_key,subscriber_id}'),
    ('silver', 'dim_customer', 'quasi', '{birth_year}'),
    ('silver', 'customer_rekey', 'none', '{rekey_id,spans,batch_id}'),
    ('silver', 'customer_rekey', 'pseudonym', '{subscriber_id}'),
    ('silver', 'fact_cdr', 'pseudonym', '{subscriber_id,caller_id,called_id}'),
    ('silver', 'fact_cdr', 'quasi', '{tac,apn}'),
    ('silver', 'fact_cdr', 'content', '{extras,cause}'),
    (
        'silver', 'fact_network_event', 'none',
        '{event_at,event_id,batch_id,source_line,cell_key,rsrp_dbm,rsrq_db,sinr_db,latency_ms}'
    ),
    (
        'silver', 'fact_network_event', 'none',
        '{throughput_up_kbps,throughput_down_kbps,packet_loss_pct,is_late,event_type,technology}'
    ),
    ('silver', 'fact_network_event', 'none', '{source_system,outcome,severity}'),
    ('silver', 'fact_network_event', 'pseudonym', '{subscriber_id}'),
    ('silver', 'fact_network_event', 'content', '{payload,cause}'),
    ('vault', 'subscriber', 'none', '{key_id,created_at}'),
    ('vault', 'subscriber', 'pseudonym', '{subscriber_id,token}'),
    ('vault', 'subscriber', 'encrypted', '{identity_encrypted}')
) AS c (schema_name, table_name, pii_class, column_names)
CROSS JOIN LATERAL unnest(c.column_names::text[]) AS n (column_name);

-- Bronze had no comments on its columns; the catalogue and the masked views show them. -----------

COMMENT ON COLUMN bronze.cdr.batch_id IS 'The batch it came in, see ops.batch; the partition key';
COMMENT ON COLUMN bronze.cdr.line IS 'Line or record number in the source, from 1';
COMMENT ON COLUMN bronze.cdr.source_system IS 'Switch or feed that wrote it';
COMMENT ON COLUMN bronze.cdr.native_key IS 'Key of the CDR at its source';
COMMENT ON COLUMN bronze.cdr.leg IS 'Leg of the call';
COMMENT ON COLUMN bronze.cdr.record_type IS 'voice, sms, mms, data or other, as mapped';
COMMENT ON COLUMN bronze.cdr.direction IS 'mo, mt, forwarded, internal or transit, as mapped';
COMMENT ON COLUMN bronze.cdr.caller IS 'Number of the caller in clear';
COMMENT ON COLUMN bronze.cdr.called IS 'Number of the called party in clear';
COMMENT ON COLUMN bronze.cdr.imsi IS 'SIM of the served party in clear';
COMMENT ON COLUMN bronze.cdr.imei IS 'Device in clear';
COMMENT ON COLUMN bronze.cdr.started_at IS 'Seizure, attach or send time';
COMMENT ON COLUMN bronze.cdr.answered_at IS 'Answer time';
COMMENT ON COLUMN bronze.cdr.ended_at IS 'Release time';
COMMENT ON COLUMN bronze.cdr.duration_s IS 'Seconds from start to end';
COMMENT ON COLUMN bronze.cdr.billed_s IS 'Seconds from answer to end';
COMMENT ON COLUMN bronze.cdr.bytes_up IS 'Bytes from the subscriber';
COMMENT ON COLUMN bronze.cdr.bytes_down IS 'Bytes to the subscriber';
COMMENT ON COLUMN bronze.cdr.cell_id IS 'Cell as the source writes it';
COMMENT ON COLUMN bronze.cdr.region_code IS 'Region as the source writes it';
COMMENT ON COLUMN bronze.cdr.technology IS '2g, 3g, 4g, 5g, fixed or ip, as mapped';
COMMENT ON COLUMN bronze.cdr.plan_code IS 'Service plan as the source writes it';
COMMENT ON COLUMN bronze.cdr.charge_micro IS 'Charge in millionths of the currency';
COMMENT ON COLUMN bronze.cdr.currency IS 'ISO 4217 code of the charge';
COMMENT ON COLUMN bronze.cdr.disposition IS
'answered, no_answer, busy, failed, congestion or dropped, as mapped';
COMMENT ON COLUMN bronze.cdr.cause IS 'Release cause as the source writes it';
COMMENT ON COLUMN bronze.cdr.is_roaming IS 'True for a visitor or a subscriber abroad';
COMMENT ON COLUMN bronze.cdr.apn IS 'Access point name of a data session';
COMMENT ON COLUMN bronze.cdr.extras IS 'Further fields of the source; may be personal';
COMMENT ON COLUMN bronze.network_event.batch_id IS 'The batch it came in, see ops.batch; the partition key';
COMMENT ON COLUMN bronze.network_event.line IS 'Position in the batch, see ops.kafka_slice';
COMMENT ON COLUMN bronze.network_event.event_id IS 'Id of the event at its source';
COMMENT ON COLUMN bronze.network_event.event_at IS 'When it happened';
COMMENT ON COLUMN bronze.network_event.source_system IS 'System that reported it';
COMMENT ON COLUMN bronze.network_event.event_type IS
'attach, detach, handover, rrc_setup, drop, alarm, kpi_sample or other';
COMMENT ON COLUMN bronze.network_event.outcome IS 'success or failure';
COMMENT ON COLUMN bronze.network_event.cell_id IS 'Cell as the source writes it';
COMMENT ON COLUMN bronze.network_event.technology IS '2g, 3g, 4g or 5g';
COMMENT ON COLUMN bronze.network_event.severity IS 'info, warning, minor, major or critical';
COMMENT ON COLUMN bronze.network_event.subscriber IS 'Number of the subscriber in clear';
COMMENT ON COLUMN bronze.network_event.rsrp_dbm IS 'Reference signal received power, dBm';
COMMENT ON COLUMN bronze.network_event.rsrq_db IS 'Reference signal received quality, dB';
COMMENT ON COLUMN bronze.network_event.sinr_db IS 'Signal to interference and noise ratio, dB';
COMMENT ON COLUMN bronze.network_event.latency_ms IS 'Round trip, milliseconds';
COMMENT ON COLUMN bronze.network_event.throughput_up_kbps IS 'From the subscriber, kbit/s';
COMMENT ON COLUMN bronze.network_event.throughput_down_kbps IS 'To the subscriber, kbit/s';
COMMENT ON COLUMN bronze.network_event.packet_loss_pct IS 'Lost packets, per cent';
COMMENT ON COLUMN bronze.network_event.cause IS 'Cause as the source writes it';
COMMENT ON COLUMN bronze.network_event.payload IS 'Further fields of the vendor; may be personal';
COMMENT ON COLUMN bronze.network_event.is_late IS
'Arrived behind a later event of its partition by more than allowed_event_lateness';

RESET ROLE;
