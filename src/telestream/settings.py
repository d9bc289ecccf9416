"""The settings of every part, read once from the environment (`TELESTREAM_…`)."""

from __future__ import annotations

import difflib
import functools
import os
import zoneinfo
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from telestream.errors import UsageError


def _xdg(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default) / "telestream"


class Settings(BaseSettings):
    """Every setting has a default that fits the embedded stack; an empty URL means "the embedded one"."""

    model_config = SettingsConfigDict(env_prefix="TELESTREAM_", extra="ignore", hide_input_in_errors=True)

    secrets_dir: Path | None = Field(None, description="folder with a file per setting, telestream_<setting>")
    database_url: str = Field("", description="PostgreSQL URL; empty: the embedded database")
    database_password: SecretStr = Field(SecretStr(""), description="of URLs of the database that name a user only")
    redis_url: str = Field("", description="Redis URL; empty: the embedded cache")
    redis_password: SecretStr = Field(SecretStr(""), description="of redis_url, where that names none")
    kafka_bootstrap: str = Field("", description="Kafka brokers, host:port,…; empty: the embedded broker")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: str = Field("SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    kafka_username: str = ""
    kafka_password: SecretStr = SecretStr("")
    kafka_ca_file: Path | None = Field(None, description="certificate authority of the brokers, PEM")
    schema_registry: str = Field("", description="URL of a Confluent registry, or a folder; empty: in the state folder")
    schema_registry_user: str = ""
    schema_registry_password: SecretStr = SecretStr("")
    api_database_url: str = Field("", description="URL of a login that holds telestream_gateway; empty: database_url")
    api_replica_url: str = Field("", description="URL of a replica to read from; empty: none")
    api_production: bool = Field(False, description="answer only persisted queries, show no schema")
    api_jwt_secret: SecretStr = SecretStr("")
    api_jwks_url: str = Field("", description="URL of the key set that RS256 and ES256 tokens are checked with")
    api_jwt_issuer: str = ""
    api_jwt_audience: str = ""
    api_cors_origins: str = Field("", description="origins that browsers may call from, separated by commas")
    api_tls_cert_file: Path | None = Field(None, description="certificate chain the API serves HTTPS with, PEM")
    api_tls_key_file: Path | None = Field(None, description="key of that certificate, PEM")
    crm_url: str = Field("", description="URL that lists the customers of a CRM, for `telestream crm sync`")
    crm_token: SecretStr = SecretStr("")
    lineage_url: str = Field("", description="OpenLineage server that `telestream lineage send` posts events to")
    lineage_api_key: SecretStr = SecretStr("")
    lineage_api_key_file: Path | None = Field(None, description="file with that server's key; instead of the key")
    slack_webhook_url: SecretStr = Field(SecretStr(""), description="incoming webhook, for `telestream notify`")
    pagerduty_routing_key: SecretStr = Field(SecretStr(""), description="of an Events API v2 integration")
    pagerduty_url: str = "https://events.pagerduty.com/v2/enqueue"
    smtp_url: SecretStr = Field(SecretStr(""), description="mail server, smtp[s]://user:password@host:port")
    email_from: str = Field("", description="sender of notifications by e-mail")
    email_to: str = Field("", description="who gets them, separated by commas")
    log_format: Literal["text", "json"] = Field("text", description="what services write to stderr: text or json")
    time_zone: str = Field("UTC", description="operator time zone, sets the day boundaries of Gold at creation")
    vault_key_file: Path | None = Field(None, description="file with the HMAC key, 32 bytes as hex")
    vault_next_key_file: Path | None = Field(None, description="file with the key that a rotation brings into force")
    cache_dir: Path = Field(default_factory=lambda: _xdg("XDG_CACHE_HOME", ".cache"))
    state_dir: Path = Field(default_factory=lambda: _xdg("XDG_STATE_HOME", ".local/state"))

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            raise ValueError(f"no such time zone: {value!r} (use an IANA name such as Europe/London)")
        return value

    @field_validator("database_url", "api_database_url", "api_replica_url", "redis_url")
    @classmethod
    def _parsable(cls, value: str) -> str:
        try:
            urlsplit(value)
        except ValueError as exc:
            raise ValueError("cannot be read as a URL; brackets belong around an IPv6 address alone") from exc
        return value

    @model_validator(mode="after")
    def _with_passwords(self) -> Self:
        for name in ("database_url", "api_database_url", "api_replica_url"):
            setattr(self, name, _with_password(getattr(self, name), self.database_password.get_secret_value()))
        self.redis_url = _with_password(self.redis_url, self.redis_password.get_secret_value())
        return self

    @property
    def vault_key_path(self) -> Path:
        """Where the vault key is kept unless `vault_key_file` names another place."""
        return self.vault_key_file or self.state_dir / "vault.key"

    @property
    def vault_next_key_path(self) -> Path:
        """Where the next vault key is kept during a rotation unless `vault_next_key_file` names another place."""
        return self.vault_next_key_file or self.vault_key_path.with_name(self.vault_key_path.name + ".next")


def _with_password(url: str, password: str) -> str:
    """Return a URL with the password, unless it has one, or is none."""
    parts = urlsplit(url)
    if not password or not parts.hostname or parts.password is not None:
        return url
    user, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}").geturl()


_PREFIX = "TELESTREAM_"
# Read by one command, by set-up, by compose, by tests and load tests; no settings of every part.
_OTHERS = {"DEBUG", "SUPERUSER_URL", "PYTHON", "REALDATA", "CDR_FOLDER", "ALERT_CONTACTS"}
_OTHER_PREFIXES = ("TEST_", "FUZZ_", "LOAD_")


def unknown_variables() -> dict[str, str]:
    """Return the variables with our prefix that nothing reads, each with the one that was probably meant, or ""."""
    known = {name.upper() for name in Settings.model_fields} | _OTHERS
    found = {}
    for variable in sorted(name for name in os.environ if name.startswith(_PREFIX)):
        name = variable.removeprefix(_PREFIX)
        if name not in known and not name.startswith(_OTHER_PREFIXES):
            meant = difflib.get_close_matches(name, known, 1)
            found[variable] = f"{_PREFIX}{meant[0]}" if meant else ""
    return found


@functools.cache
def settings() -> Settings:
    """Return the settings of this process: of the environment, then of the files in `TELESTREAM_SECRETS_DIR`.

    Raises:
        UsageError: a variable has a value that cannot be used; all problems are named at once.
    """
    folder = os.environ.get("TELESTREAM_SECRETS_DIR") or None
    if folder and not Path(folder).is_dir():
        raise UsageError("settings cannot be used", detail=f"TELESTREAM_SECRETS_DIR: {folder} is no folder.")
    try:
        return Settings(_secrets_dir=folder)
    except ValidationError as exc:
        problems = "\n".join(
            f"TELESTREAM_{'.'.join(str(part) for part in error['loc']).upper()}: "
            f"{error['msg'].removeprefix('Value error, ')}"
            for error in exc.errors()
        )
        # Without the cause: a stack trace must show no value either.
        raise UsageError("settings cannot be used", detail=problems) from None
