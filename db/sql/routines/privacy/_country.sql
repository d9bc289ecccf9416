-- Returns the calling code that a number of E.164 begins with, without the plus. No code begins another, so
-- its first digits tell how long it is.
CREATE OR REPLACE FUNCTION privacy._country(p_number text)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT "left"(d.digits, CASE
        WHEN d.digits ~ '^[17]' THEN 1
        WHEN d.digits ~ '^(2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58])' THEN 2
        ELSE 3
    END)
    FROM (SELECT ltrim(p_number, '+') AS digits) AS d
$$;
COMMENT ON FUNCTION privacy._country(text) IS 'The calling code of a number';
REVOKE ALL ON FUNCTION privacy._country(text) FROM PUBLIC;
