"""The error codes our SQL raises, in one place; a test holds it equal to the SQL."""

from enum import StrEnum


class SqlState(StrEnum):
    """SQLSTATE codes of class TS."""

    BATCH_NOT_STAGED = "TS001"
    BATCH_NOT_RECONCILED = "TS002"
    VAULT_KEY_MISSING = "TS003"
    RULE_UNUSABLE = "TS004"
    NOTHING_TO_REPLAY = "TS005"
    TEMPORARY_TABLE_FOREIGN = "TS006"
    WRONG_EDITION = "TS007"
    WRONG_DATASET = "TS008"
    NOT_THE_OWNER = "TS009"
    KPI_UNUSABLE = "TS010"
    APPEND_ONLY = "TS030"
    LOG_WOULD_HAVE_A_GAP = "TS031"
    REASON_MISSING = "TS032"
    SUBSCRIBER_UNKNOWN = "TS033"
    READ_NOT_LOGGED = "TS034"
    VAULT_KEY_WRONG = "TS035"
    MASKING_RULE_UNUSABLE = "TS036"
