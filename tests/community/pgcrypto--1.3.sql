-- TEST ONLY: the few pgcrypto functions this project uses, in plain SQL, since pgcrypto does not load in PGlite.
-- encrypt_iv and decrypt_iv are reversible and are no encryption anyone may rely on.

CREATE FUNCTION _xor32(p_left bytea, p_right bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT pg_catalog.string_agg(
        pg_catalog.int8send((
            ('x' || pg_catalog.encode(pg_catalog.substr(p_left, 1 + 8 * i, 8), 'hex'))::bit(64)
            # ('x' || pg_catalog.encode(pg_catalog.substr(p_right, 1 + 8 * i, 8), 'hex'))::bit(64)
        )::bigint), '' ORDER BY i)
    FROM pg_catalog.generate_series(0, 3) AS i
$$;

CREATE FUNCTION gen_random_bytes(p_count integer) RETURNS bytea
LANGUAGE sql VOLATILE STRICT
AS $$
    SELECT pg_catalog.substr(pg_catalog.string_agg(
        pg_catalog.sha256(pg_catalog.uuid_send(pg_catalog.gen_random_uuid())), ''), 1, p_count)
    FROM pg_catalog.generate_series(0, p_count / 32)
$$;

CREATE FUNCTION digest(p_data bytea, p_type text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    CASE pg_catalog.lower(p_type)
        WHEN 'sha224' THEN RETURN pg_catalog.sha224(p_data);
        WHEN 'sha256' THEN RETURN pg_catalog.sha256(p_data);
        WHEN 'sha384' THEN RETURN pg_catalog.sha384(p_data);
        WHEN 'sha512' THEN RETURN pg_catalog.sha512(p_data);
        ELSE RAISE EXCEPTION 'Cannot use "%": No such hash algorithm', p_type USING ERRCODE = '22023';
    END CASE;
END
$$;

CREATE FUNCTION digest(p_data text, p_type text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT @extschema@.digest(pg_catalog.convert_to(p_data, 'UTF8'), p_type) $$;

CREATE FUNCTION hmac(p_data bytea, p_key bytea, p_type text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    v_zero CONSTANT bytea := pg_catalog.decode(pg_catalog.repeat('00', 64), 'hex');
    v_key bytea := CASE WHEN pg_catalog.length(p_key) > 64 THEN pg_catalog.sha256(p_key) ELSE p_key END;
    v_inner CONSTANT bytea := pg_catalog.decode(pg_catalog.repeat('36', 32), 'hex');
    v_outer CONSTANT bytea := pg_catalog.decode(pg_catalog.repeat('5c', 32), 'hex');
    v_low bytea;
    v_high bytea;
BEGIN
    IF pg_catalog.lower(p_type) <> 'sha256' THEN
        RAISE EXCEPTION 'the test stand-in for hmac knows sha256 only' USING ERRCODE = '0A000';
    END IF;
    v_key := pg_catalog.substr(v_key || v_zero, 1, 64);
    v_low := pg_catalog.substr(v_key, 1, 32);
    v_high := pg_catalog.substr(v_key, 33, 32);
    RETURN pg_catalog.sha256(
        @extschema@._xor32(v_low, v_outer) || @extschema@._xor32(v_high, v_outer) || pg_catalog.sha256(
            @extschema@._xor32(v_low, v_inner) || @extschema@._xor32(v_high, v_inner) || p_data));
END
$$;

CREATE FUNCTION hmac(p_data text, p_key text, p_type text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT @extschema@.hmac(pg_catalog.convert_to(p_data, 'UTF8'), pg_catalog.convert_to(p_key, 'UTF8'), p_type)
$$;

CREATE FUNCTION encrypt_iv(p_data bytea, p_key bytea, p_iv bytea, p_type text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT coalesce(pg_catalog.substr(pg_catalog.string_agg(
        @extschema@._xor32(
            pg_catalog.substr(
                p_data || pg_catalog.decode(pg_catalog.repeat('00', 32), 'hex'), 1 + 32 * i, 32),
            pg_catalog.sha256(p_key || p_iv || pg_catalog.int4send(i))
        ), '' ORDER BY i), 1, pg_catalog.length(p_data)), '')
    FROM pg_catalog.generate_series(0, (pg_catalog.length(p_data) - 1) / 32) AS i
$$;

CREATE FUNCTION decrypt_iv(p_data bytea, p_key bytea, p_iv bytea, p_type text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT @extschema@.encrypt_iv(p_data, p_key, p_iv, p_type) $$;
