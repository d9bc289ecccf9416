-- Returns the printable part of a message, so that a regular expression can search it: every other byte is a
-- space. Avro, like most encodings, has texts as they are.
CREATE OR REPLACE FUNCTION privacy._bytes_text(p_bytes bytea)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT regexp_replace(encode(p_bytes, 'escape'), '\\(\\|[0-7]{3})', ' ', 'g')
$$;
COMMENT ON FUNCTION privacy._bytes_text(bytea) IS 'The printable part of a message';
REVOKE ALL ON FUNCTION privacy._bytes_text(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION privacy._bytes_text(bytea) TO telestream_privacy;
