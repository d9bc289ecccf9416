-- The rules are code; what a row may change is how they are set. Refuses what no run would look at, and
-- values that would make a rule flag nobody or everybody.
CREATE OR REPLACE FUNCTION analytics._fraud_guard()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tg_op <> 'UPDATE' OR new.rule <> old.rule
        OR to_jsonb(new) ->> 'threshold' IS DISTINCT FROM to_jsonb(old) ->> 'threshold' THEN
        RAISE EXCEPTION 'rules against fraud are not added, renamed or removed by rows'
            USING ERRCODE = 'TS046', HINT = 'Set is_enabled to false, or update value.';
    END IF;
    IF tg_table_name = 'fraud_threshold'
        AND NOT ((to_jsonb(new) ->> 'value')::double precision BETWEEN
            (to_jsonb(old) ->> 'least')::double precision AND (to_jsonb(old) ->> 'most')::double precision) THEN
        RAISE EXCEPTION 'the threshold % of % is out of bounds', to_jsonb(new) ->> 'threshold', new.rule
            USING ERRCODE = 'TS046',
            DETAIL = format('It may be from %s to %s.', to_jsonb(old) ->> 'least', to_jsonb(old) ->> 'most'),
            HINT = 'To switch a rule off set is_enabled in analytics.fraud_rule to false.';
    END IF;
    RETURN new;
END
$$;
COMMENT ON FUNCTION analytics._fraud_guard() IS
'Refuses a setting of the rules against fraud that cannot be used';
CREATE OR REPLACE TRIGGER fraud_guard BEFORE INSERT OR UPDATE OR DELETE ON analytics.fraud_rule
FOR EACH ROW EXECUTE FUNCTION analytics._fraud_guard();
CREATE OR REPLACE TRIGGER fraud_guard BEFORE INSERT OR UPDATE OR DELETE ON analytics.fraud_threshold
FOR EACH ROW EXECUTE FUNCTION analytics._fraud_guard();
