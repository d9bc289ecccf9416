-- Moves the offsets of a batch, as the first statement of its transaction: a compare-and-swap on epoch and
-- offset that must hit every partition. It fails for a consumer whose partitions another has claimed, and
-- then nothing of its batch stays. p_event_at may be null where a partition had no event of known time.
CREATE OR REPLACE FUNCTION ops.advance_offsets(
    p_incarnation text, p_topic text, p_partitions integer[], p_epochs bigint[],
    p_from_offsets bigint[], p_to_offsets bigint[], p_log_ends bigint[], p_event_at timestamptz[]
)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_hit bigint;
    v_lost record;
BEGIN
    UPDATE ops.kafka_offset AS k
    SET
        next_offset = u.to_offset,
        log_end = greatest(u.log_end, u.to_offset),
        event_at = greatest(k.event_at, u.event_at),
        updated_at = clock_timestamp()
    FROM unnest(p_partitions, p_epochs, p_from_offsets, p_to_offsets, p_log_ends, p_event_at)
        AS u (partition, epoch, from_offset, to_offset, log_end, event_at)
    WHERE k.incarnation = p_incarnation AND k.topic = p_topic AND k.partition = u.partition
        AND k.epoch = u.epoch AND k.next_offset = u.from_offset;
    GET DIAGNOSTICS v_hit = ROW_COUNT;
    IF v_hit <> cardinality(p_partitions) THEN
        SELECT u.partition, u.epoch, u.from_offset, k.epoch AS new_epoch, k.next_offset, k.owner INTO v_lost
        FROM unnest(p_partitions, p_epochs, p_from_offsets) AS u (partition, epoch, from_offset)
        LEFT JOIN ops.kafka_offset AS k
            ON k.incarnation = p_incarnation AND k.topic = p_topic AND k.partition = u.partition
        WHERE k.epoch IS DISTINCT FROM u.epoch OR k.next_offset IS DISTINCT FROM u.from_offset
        ORDER BY u.partition
        LIMIT 1;
        RAISE EXCEPTION 'partition % of % belongs to another consumer', v_lost.partition, p_topic
            USING ERRCODE = 'TS009',
            DETAIL = format(
                'This consumer read on from offset %s in epoch %s; since then %s has claimed epoch %s and is at '
                'offset %s.', v_lost.from_offset, v_lost.epoch, v_lost.owner, v_lost.new_epoch, v_lost.next_offset
            ),
            HINT = 'Nothing of this batch was written. Start the consumer again to join the group anew.';
    END IF;
END
$$;
COMMENT ON FUNCTION ops.advance_offsets(
    text, text, integer[], bigint[], bigint[], bigint[], bigint[], timestamptz[]
) IS 'Moves the offsets of a batch, or fails where another consumer has claimed a partition';
REVOKE ALL ON FUNCTION ops.advance_offsets(
    text, text, integer[], bigint[], bigint[], bigint[], bigint[], timestamptz[]
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.advance_offsets(
    text, text, integer[], bigint[], bigint[], bigint[], bigint[], timestamptz[]
) TO telestream_consumer;
