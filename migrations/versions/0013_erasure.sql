SET LOCAL ROLE telestream_owner;

CREATE TABLE privacy.erasure (
    erasure_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    requested_by text NOT NULL DEFAULT session_user,
    reason text NOT NULL CHECK (reason <> ''),
    policy text NOT NULL CHECK (policy IN ('unlink', 'delete')),
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done')),
    step text NOT NULL DEFAULT 'people',
    step_cursor text,
    rounds integer NOT NULL DEFAULT 0,
    scrubbed_from timestamptz,
    counts jsonb NOT NULL DEFAULT '{}',
    subject_token bytea,
    plan_encrypted bytea,
    finished_at timestamptz,
    proof jsonb,
    proof_sha256 bytea CHECK (octet_length(proof_sha256) = 32),
    CONSTRAINT erasure_forgets CHECK (
        (state = 'running') = (plan_encrypted IS NOT NULL)
        AND (state = 'running') = (subject_token IS NOT NULL)
        AND (state = 'done') = (proof IS NOT NULL AND proof_sha256 IS NOT NULL AND finished_at IS NOT NULL)
    )
);
-- One at a time: two could hide from each other what they have still to do.
CREATE UNIQUE INDEX erasure_running ON privacy.erasure (state) WHERE state = 'running';
COMMENT ON TABLE privacy.erasure IS
'Requests to erase a person, and the proof of each: what was changed and that nothing is found any more';
COMMENT ON COLUMN privacy.erasure.erasure_id IS 'Number of the request';
COMMENT ON COLUMN privacy.erasure.requested_at IS 'When it was asked for';
COMMENT ON COLUMN privacy.erasure.requested_by IS 'Login that asked for it';
COMMENT ON COLUMN privacy.erasure.reason IS 'Why, e.g. the number of the case; names no person';
COMMENT ON COLUMN privacy.erasure.policy IS
'unlink: facts stay and lead to nobody; delete: facts of the person go, and Gold is computed anew';
COMMENT ON COLUMN privacy.erasure.state IS 'running or done';
COMMENT ON COLUMN privacy.erasure.step IS 'Step it is at';
COMMENT ON COLUMN privacy.erasure.step_cursor IS 'Where in the step it goes on';
COMMENT ON COLUMN privacy.erasure.rounds IS 'How often it began anew because a load brought the person again';
COMMENT ON COLUMN privacy.erasure.scrubbed_from IS
'Batches that finished before are searched in full; later ones are searched again at the end';
COMMENT ON COLUMN privacy.erasure.counts IS 'Rows changed or removed, by table';
COMMENT ON COLUMN privacy.erasure.subject_token IS
'Keyed hash of the subject, so that the same command goes on; null once it is done';
COMMENT ON COLUMN privacy.erasure.plan_encrypted IS
'What is erased, encrypted with the vault key; null once it is done';
COMMENT ON COLUMN privacy.erasure.finished_at IS 'When it was done';
COMMENT ON COLUMN privacy.erasure.proof IS 'The record of it; holds nothing that leads to the person';
COMMENT ON COLUMN privacy.erasure.proof_sha256 IS
'SHA-256 of the proof as text; a row of the access log has it too';

INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
SELECT
    'privacy' AS schema_name,
    'erasure' AS table_name,
    u.column_name,
    t.pii_class
FROM (
    VALUES
    (
        'none', ARRAY[
            'erasure_id', 'requested_at', 'policy', 'state', 'step', 'step_cursor', 'rounds', 'scrubbed_from',
            'counts', 'finished_at', 'proof_sha256'
        ]
    ),
    ('staff', ARRAY['requested_by']),
    ('content', ARRAY['reason', 'proof']),
    ('pseudonym', ARRAY['subject_token']),
    ('encrypted', ARRAY['plan_encrypted'])
) AS t (pii_class, column_names)
CROSS JOIN LATERAL unnest(t.column_names) AS u (column_name);

RESET ROLE;
