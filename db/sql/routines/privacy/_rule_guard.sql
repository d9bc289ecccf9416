-- requires: privacy/_mask_sql.sql
-- Refuses a masking rule that could not be used, at the moment it is written.
CREATE OR REPLACE FUNCTION privacy._rule_guard()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM privacy._mask_sql(new);
    RETURN new;
END
$$;
COMMENT ON FUNCTION privacy._rule_guard() IS 'Refuses a masking rule that cannot be used';
CREATE OR REPLACE TRIGGER rule_guard BEFORE INSERT OR UPDATE ON privacy.masking_rule
FOR EACH ROW EXECUTE FUNCTION privacy._rule_guard();
