-- What db's apply() sets before it runs a routine file; pgspot judges the files under the same rule.
SET search_path = pg_catalog, pg_temp;
