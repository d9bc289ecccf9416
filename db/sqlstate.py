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
    GOLD_IS_FINAL = "TS011"
    RETENTION_CONTRADICTS = "TS012"
    MUST_STAY = "TS013"
    ARCHIVE_DIFFERS = "TS014"
