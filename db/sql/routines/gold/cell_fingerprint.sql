CREATE OR REPLACE VIEW gold.cell_fingerprint AS
SELECT
    c.cell_id,
    c.name AS cell_name,
    c.technology,
    r.region_code,
    f.last_week,
    f.weeks,
    f.slots,
    f.records,
    array(
        SELECT (power(u.root, 2))::real
        FROM unnest(public.subvector(f.fingerprint, 1, 168)::real[]) WITH ORDINALITY AS u (root, n)
        ORDER BY u.n
    ) AS load_shares,
    (100 * power((public.subvector(f.fingerprint, 169, 4)::real[])[1], 2))::real AS failed_pct,
    (100 * power((public.subvector(f.fingerprint, 169, 4)::real[])[2], 2))::real AS dropped_pct,
    (100 * power((public.subvector(f.fingerprint, 169, 4)::real[])[3], 2))::real AS lost_pct,
    f.peer_distance,
    f.built_at,
    f.cell_key
FROM analytics.cell_fingerprint AS f
INNER JOIN silver.dim_network_cell AS c ON f.cell_key = c.cell_key
INNER JOIN silver.dim_region AS r ON c.region_key = r.region_key;
COMMENT ON VIEW gold.cell_fingerprint IS
'How each cell behaves over the week, and how alone it is; similar ones: analytics.similar_cells';
COMMENT ON COLUMN gold.cell_fingerprint.cell_id IS 'Cell as sources write it';
COMMENT ON COLUMN gold.cell_fingerprint.cell_name IS 'Cell for people';
COMMENT ON COLUMN gold.cell_fingerprint.technology IS '2g, 3g, 4g, 5g, fixed or ip';
COMMENT ON COLUMN gold.cell_fingerprint.region_code IS 'Region of the cell';
COMMENT ON COLUMN gold.cell_fingerprint.last_week IS 'Monday of the newest week in it';
COMMENT ON COLUMN gold.cell_fingerprint.weeks IS 'How many weeks it was made of';
COMMENT ON COLUMN gold.cell_fingerprint.slots IS
'Hours of the week with data, of 168; the others are filled in';
COMMENT ON COLUMN gold.cell_fingerprint.records IS 'Records and connections it stands on';
COMMENT ON COLUMN gold.cell_fingerprint.load_shares IS
'Share of the week''s load in each of its 168 hours in the operator''s time zone, the first Monday 0:00';
COMMENT ON COLUMN gold.cell_fingerprint.failed_pct IS 'Failed per 100 voice calls; 4 where there are none';
COMMENT ON COLUMN gold.cell_fingerprint.dropped_pct IS 'Lost per 100 answered calls; 4 where there are none';
COMMENT ON COLUMN gold.cell_fingerprint.lost_pct IS
'Lost per 100 attaches, set-ups and handovers; 4 where there are none';
COMMENT ON COLUMN gold.cell_fingerprint.peer_distance IS
'Mean distance to the five most similar cells: the larger, the less it behaves like any';
COMMENT ON COLUMN gold.cell_fingerprint.built_at IS 'When it was made';
COMMENT ON COLUMN gold.cell_fingerprint.cell_key IS 'Key of silver.dim_network_cell';
GRANT SELECT ON gold.cell_fingerprint
TO telestream_loader, telestream_consumer, telestream_api, telestream_analyst, telestream_privacy;
