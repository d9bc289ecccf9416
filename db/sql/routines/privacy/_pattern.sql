-- requires: privacy/_country.sql
-- Returns a regular expression that finds an identity inside a text: a number by the digits of its
-- significant part, with or without country code, trunk zero, and spaces, dots, dashes or brackets between
-- them; an IMEI by its first 14 digits, since the check digit is often left out. Longer runs of digits are
-- other numbers. It is one that Python's re reads the same.
CREATE OR REPLACE FUNCTION privacy._pattern(p_identity text)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '(?<![0-9])' || CASE
        WHEN p_identity ~ '^[+]' THEN
            '(?:(?:(?:00|011)' || n.gap || ')?' || privacy._country(p_identity) || n.gap || '(?:[(]?0[)]?' || n.gap
            || ')?|0' || n.gap || ')?'
            || array_to_string(
                string_to_array(substr(p_identity, 2 + length(privacy._country(p_identity))), NULL), n.gap
            )
        WHEN p_identity ~ '^imei:'
            THEN array_to_string(string_to_array(substr(p_identity, 6, 14), NULL), n.gap) || '(?:' || n.gap || '[0-9]){0,2}'
        ELSE array_to_string(string_to_array(regexp_replace(p_identity, '[^0-9]', '', 'g'), NULL), n.gap)
    END || '(?![0-9])'
    FROM (SELECT '[-. ()/]{0,2}' AS gap) AS n
$$;
COMMENT ON FUNCTION privacy._pattern(text) IS 'A regular expression that finds an identity in a text';
REVOKE ALL ON FUNCTION privacy._pattern(text) FROM PUBLIC;
