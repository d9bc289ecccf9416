-- Returns the hash of a row of the access log: SHA-256 of the hash before it, the numbers and times as eight
-- bytes each, and every text with its length in front, null as length -1. `telestream audit verify` computes
-- the same by code of its own, see db/access_chain.py.
CREATE OR REPLACE FUNCTION audit._chained(
    p_before bytea, p_position bigint, p_logged_at timestamptz, p_row audit.access_inbox
)
RETURNS bytea
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sha256(
        p_before || int8send(p_position) || timestamptz_send(p_logged_at) || int8send((p_row).access_id)
        || timestamptz_send((p_row).at) || int8send((p_row).rows_read)
        || string_agg(
            coalesce(int4send(octet_length(convert_to(t.value, 'UTF8'))) || convert_to(t.value, 'UTF8'), int4send(-1)),
            ''::bytea ORDER BY t.number
        )
    )
    FROM unnest(
        ARRAY[
            (p_row).principal, (p_row).role, (p_row).operation, (p_row).field, (p_row).variables_sha256,
            (p_row).request_id, (p_row).reason
        ] || (p_row).object_ids
    ) WITH ORDINALITY AS t (value, number)
$$;
COMMENT ON FUNCTION audit._chained(bytea, bigint, timestamptz, audit.access_inbox) IS
'The hash that chains a row of the access log to the one before';
REVOKE ALL ON FUNCTION audit._chained(bytea, bigint, timestamptz, audit.access_inbox) FROM PUBLIC;
