-- Locks a batch for its refine, or says why it cannot be refined: unknown, refined before, another dataset.
CREATE OR REPLACE FUNCTION ops._lock_staged_batch(p_batch_id bigint, p_dataset text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_batch record;
BEGIN
    SELECT b.status, b.dataset INTO v_batch FROM ops.batch AS b WHERE b.batch_id = p_batch_id FOR UPDATE;
    IF v_batch.status IS DISTINCT FROM 'staged' THEN
        RAISE EXCEPTION 'batch % is not staged', p_batch_id
            USING ERRCODE = 'TS001',
            DETAIL = format('Its status is %s.', coalesce(v_batch.status, 'unknown')),
            HINT = format(
                'Insert into ops.batch, then into bronze.%s, then refine, in one transaction.', p_dataset
            );
    END IF;
    IF v_batch.dataset <> p_dataset THEN
        RAISE EXCEPTION 'batch % holds %, not %', p_batch_id, v_batch.dataset, p_dataset
            USING ERRCODE = 'TS008';
    END IF;
END
$$;
COMMENT ON FUNCTION ops._lock_staged_batch(bigint, text) IS 'Locks a staged batch for its refine';
REVOKE ALL ON FUNCTION ops._lock_staged_batch(bigint, text) FROM PUBLIC;
