SET LOCAL ROLE telestream_owner;

CREATE TABLE vault.key (
    key_id smallint PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('coming', 'current', 'retiring', 'retired')),
    fingerprint bytea NOT NULL UNIQUE,
    walked_to bigint NOT NULL DEFAULT 0,
    walk_until bigint NOT NULL DEFAULT 0,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    current_from timestamptz,
    retired_at timestamptz
);
CREATE UNIQUE INDEX key_one_of_each_state ON vault.key (state)
WHERE state <> 'retired';
COMMENT ON TABLE vault.key IS
'The keys the vault was and is used with; the keys themselves are in no database';
COMMENT ON COLUMN vault.key.key_id IS 'Number of the key, as vault.subscriber has it';
COMMENT ON COLUMN vault.key.state IS
'coming: a rotation re-encrypts for it; current: in force; retiring: replaced, and rows made with it are '
'still being removed; retired: none is left';
COMMENT ON COLUMN vault.key.fingerprint IS 'SHA-256 of a label and the key, so that another key is noticed';
COMMENT ON COLUMN vault.key.walked_to IS
'Of the coming or current key: surrogates up to this one are done in the rotation''s step';
COMMENT ON COLUMN vault.key.walk_until IS
'Every surrogate up to this one was committed when the step began';
COMMENT ON COLUMN vault.key.added_at IS 'When the vault met the key';
COMMENT ON COLUMN vault.key.current_from IS 'When it came into force';
COMMENT ON COLUMN vault.key.retired_at IS 'When the last row made with it was gone';

CREATE TABLE vault.rotated (
    subscriber_id bigint PRIMARY KEY REFERENCES vault.subscriber ON DELETE CASCADE,
    token bytea NOT NULL UNIQUE,
    identity_encrypted bytea NOT NULL
);
COMMENT ON TABLE vault.rotated IS
'What a rotation has made under the next key and not put into vault.subscriber yet; empty otherwise';
COMMENT ON COLUMN vault.rotated.subscriber_id IS 'Surrogate';
COMMENT ON COLUMN vault.rotated.token IS 'HMAC-SHA-256 of the identity under the next key';
COMMENT ON COLUMN vault.rotated.identity_encrypted IS
'AES-256-CBC of the identity under the next key, IV derived from the token';

-- Classes of the columns above, as 0011 keeps them.
INSERT INTO ops.pii_class (schema_name, table_name, column_name, pii_class)
SELECT
    'vault' AS schema_name,
    t.table_name,
    u.column_name,
    t.pii_class
FROM (
    VALUES
    (
        'key', 'none', ARRAY[
            'key_id', 'state', 'fingerprint', 'walked_to', 'walk_until', 'added_at', 'current_from',
            'retired_at'
        ]
    ),
    ('rotated', 'pseudonym', ARRAY['subscriber_id', 'token']),
    ('rotated', 'encrypted', ARRAY['identity_encrypted'])
) AS t (table_name, pii_class, column_names)
CROSS JOIN LATERAL unnest(t.column_names) AS u (column_name);

RESET ROLE;
