-- Solves p_a x = p_b, where p_a is symmetric and positive definite, row after row: Gauss without a choice of
-- pivots, which such a matrix does not need.
CREATE OR REPLACE FUNCTION analytics._solve(p_a double precision[], p_b double precision[])
RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_n constant integer := cardinality(p_b);
    v_a double precision[] := p_a;
    v_x double precision[] := p_b;
    v_factor double precision;
BEGIN
    FOR v_col IN 1 .. v_n LOOP
        FOR v_row IN v_col + 1 .. v_n LOOP
            v_factor := v_a[(v_row - 1) * v_n + v_col] / v_a[(v_col - 1) * v_n + v_col];
            FOR v_k IN v_col .. v_n LOOP
                v_a[(v_row - 1) * v_n + v_k] := v_a[(v_row - 1) * v_n + v_k]
                    - v_factor * v_a[(v_col - 1) * v_n + v_k];
            END LOOP;
            v_x[v_row] := v_x[v_row] - v_factor * v_x[v_col];
        END LOOP;
    END LOOP;
    FOR v_row IN REVERSE v_n .. 1 LOOP
        FOR v_k IN v_row + 1 .. v_n LOOP
            v_x[v_row] := v_x[v_row] - v_a[(v_row - 1) * v_n + v_k] * v_x[v_k];
        END LOOP;
        v_x[v_row] := v_x[v_row] / v_a[(v_row - 1) * v_n + v_row];
    END LOOP;
    RETURN v_x;
END
$$;
COMMENT ON FUNCTION analytics._solve(double precision[], double precision[]) IS
'Solves a system of linear equations with a symmetric, positive definite matrix';
REVOKE ALL ON FUNCTION analytics._solve(double precision[], double precision[]) FROM PUBLIC;
