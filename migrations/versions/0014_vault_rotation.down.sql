DO $$
BEGIN
    IF EXISTS (SELECT FROM vault.key AS k WHERE k.state IN ('coming', 'retiring')) THEN
        RAISE EXCEPTION 'a rotation of the vault key is under way'
            USING ERRCODE = 'TS041',
            HINT = 'Run `telestream vault rotate` to its end, or with --abort where that is still possible.';
    END IF;
END
$$;
DELETE FROM ops.pii_class
WHERE
    schema_name = 'vault'
    AND table_name IN ('key', 'rotated');
DROP TABLE vault.rotated;
DROP TABLE vault.key;
