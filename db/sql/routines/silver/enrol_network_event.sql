-- requires: vault/enrol.sql
-- Makes every subscriber and cell of a batch known, before its refine and in a transaction of its own. An
-- unknown cell becomes a placeholder: it is never a reason to lose an event.
CREATE OR REPLACE FUNCTION silver.enrol_network_event(
    p_batch_id bigint, p_identities text[], p_cells text[]
)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO silver.dim_network_cell (cell_id, name, is_placeholder)
    SELECT DISTINCT c.cell_id, c.cell_id, true
    FROM unnest(p_cells) AS c (cell_id)
    WHERE c.cell_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM silver.dim_network_cell AS k WHERE k.cell_id = c.cell_id)
    ORDER BY 1
    ON CONFLICT (cell_id) DO NOTHING;

    PERFORM vault.enrol(p_identities);
    PERFORM set_config('telestream.enrolled_batch', p_batch_id::text, false);
END
$$;
COMMENT ON FUNCTION silver.enrol_network_event(bigint, text[], text[]) IS
'Makes the subscribers and cells of a batch of network events known before its refine';
REVOKE ALL ON FUNCTION silver.enrol_network_event(bigint, text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION silver.enrol_network_event(bigint, text[], text[]) TO telestream_consumer;
