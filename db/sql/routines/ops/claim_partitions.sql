-- Makes the caller the owner of partitions of a topic and returns where to read on. Whoever owned them before
-- can no longer commit. Waits for a commit of theirs in flight. p_log_ends says how much there is to read, so
-- that a partition not begun yet counts as behind.
CREATE OR REPLACE FUNCTION ops.claim_partitions(
    p_incarnation text, p_topic text, p_partitions integer[], p_log_ends bigint[], p_owner text
)
RETURNS TABLE (o_partition integer, next_offset bigint, epoch bigint, event_at timestamptz)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO ops.kafka_offset AS k (incarnation, topic, partition, next_offset, epoch, owner, log_end)
    SELECT p_incarnation, p_topic, u.partition, 0, 1, p_owner, u.log_end
    FROM unnest(p_partitions, p_log_ends) AS u (partition, log_end)
    ORDER BY u.partition
    ON CONFLICT (incarnation, topic, partition) DO UPDATE
    SET
        epoch = k.epoch + 1, owner = excluded.owner, claimed_at = clock_timestamp(),
        log_end = greatest(k.log_end, excluded.log_end)
    RETURNING k.partition, k.next_offset, k.epoch, k.event_at
$$;
COMMENT ON FUNCTION ops.claim_partitions(text, text, integer[], bigint[], text) IS
'Claims partitions of a topic and returns where to read on';
REVOKE ALL ON FUNCTION ops.claim_partitions(text, text, integer[], bigint[], text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.claim_partitions(text, text, integer[], bigint[], text) TO telestream_consumer;
