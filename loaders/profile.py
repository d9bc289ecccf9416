"""Profiles: YAML files that say how a vendor's columns become the canonical CDR."""

from __future__ import annotations

import difflib
import functools
import hashlib
import re
import zoneinfo
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from telestream.errors import ProfileError
from telestream.loaders.canonical import FIELDS
from telestream.settings import settings

SHIPPED = Path(__file__).parent / "profiles"
OPERATOR_ZONE = "operator"
"""Stands in a profile for the time zone of the settings."""

DURATION_UNITS = {"us": "0.000001", "ms": "0.001", "s": "1", "min": "60", "h": "3600"}
BYTE_UNITS = {
    "B": "1",
    "kB": "1000",
    "MB": "1000000",
    "GB": "1000000000",
    "KiB": "1024",
    "MiB": "1048576",
    "GiB": "1073741824",
}
EPOCH_FORMATS = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000}
"""Time format → how many of its units are a second."""

Promise = Literal["e164"]


def _text(value: object) -> object:
    """Turn YAML numbers into the text they are compared with; a bare yes or no has lost its spelling."""
    if isinstance(value, bool):
        raise ValueError("YAML reads yes, no, true and false as truth values: put the text in quotes")
    return str(value) if isinstance(value, int | float) else value


def _listed(value: object) -> object:
    return value if isinstance(value, list) or value is None else [value]


Text = Annotated[str, BeforeValidator(_text)]
OneCharacter = Annotated[str, StringConstraints(min_length=1, max_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Dialect(_Strict):
    """How the text of a CSV file is written."""

    delimiter: OneCharacter = ","
    quote: OneCharacter | None = '"'
    escape: OneCharacter | None = None
    encoding: str = "utf-8"
    header: bool = True
    skip_lines: int = Field(0, ge=0)
    skip_after_header: str | None = None
    skip_initial_space: bool = False
    extra_fields: Literal["reject", "ignore"] = "reject"
    comment: OneCharacter | None = None
    decimal: Literal[".", ","] = "."

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError:
            raise ValueError(f"no such encoding: {value!r} (for example utf-8, latin-1, cp1252, utf-16)") from None
        return value

    @field_validator("delimiter", "quote", "escape", "comment")
    @classmethod
    def _ascii(cls, value: str | None) -> str | None:
        if value is not None and (not value.isascii() or value in "\r\n\0"):
            raise ValueError("one ASCII character that is not a line end")
        return value


class Rule(_Strict):
    """Where the value of one field comes from and how it is read."""

    column: str | None = None
    expr: str | None = None
    const: Any = None
    format: Annotated[list[str] | None, BeforeValidator(_listed)] = None
    unit: str | None = None
    scale: Decimal | None = Field(None, gt=0)
    map: dict[Text, Any] | None = None
    default: Any = None
    nulls: list[Text] = []

    @model_validator(mode="after")
    def _one_origin(self) -> Rule:
        origins = [name for name in ("column", "expr", "const") if getattr(self, name) is not None]
        if len(origins) != 1:
            raise ValueError(f"needs exactly one of column, expr or const, has {', '.join(origins) or 'none'}")
        if self.unit is not None and self.scale is not None:
            raise ValueError("unit and scale exclude each other")
        return self


class Numbers(_Strict):
    """How the source writes telephone numbers, so that caller and called become E.164."""

    country_code: Text | None = None
    international_prefix: Text | None = None
    national_prefix: Text | None = None
    bare: Literal["keep", "national", "international"] = "keep"

    @field_validator("country_code", "international_prefix", "national_prefix")
    @classmethod
    def _digits(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[0-9]{1,6}", value):
            raise ValueError("one to six digits in quotes")
        return value

    @model_validator(mode="after")
    def _country_known(self) -> Numbers:
        if self.country_code is None and (self.national_prefix is not None or self.bare == "national"):
            raise ValueError("country_code is needed to complete national numbers")
        return self


class Sniff(_Strict):
    """How a file of this layout is recognised: by names of its header or schema, or by what its columns look like."""

    header: list[str] = []
    columns: dict[int, str] = {}
    because: str = ""

    @model_validator(mode="after")
    def _one_way(self) -> Sniff:
        if bool(self.header) == bool(self.columns):
            raise ValueError("needs either header (names) or columns (regular expressions by position)")
        return self

    @field_validator("columns")
    @classmethod
    def _regular_expressions(cls, value: dict[int, str]) -> dict[int, str]:
        for position, pattern in value.items():
            if position < 1:
                raise ValueError("columns are counted from 1")
            try:
                re.compile(pattern)
            except re.error as exc:
                raise ValueError(f"column {position}: not a regular expression: {exc}") from None
        return value


_FORMATS_OF = {
    "time": "iso, epoch_s, epoch_ms, epoch_us or a pattern such as %d.%m.%Y %H:%M:%S",
    "int32": "hms",
}


class Profile(_Strict):
    """The layout of a source and its way into the canonical CDR."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Field(ge=1)
    description: str
    format: Literal["csv", "jsonl", "parquet", "avro"]
    dialect: Dialect = Dialect()
    columns: list[str] | dict[int, list[str]] | dict[str, str] | None = None
    optional: list[str] = []
    time_zone: str = "UTC"
    nulls: list[Text] = []
    numbers: Numbers | None = None
    fields: dict[str, Rule]
    extras: dict[str, Rule] = {}
    promises: list[Promise] = []
    sniff: Sniff | None = None
    _origin: Path | None = PrivateAttr(None)

    @property
    def origin(self) -> Path | None:
        """Return the file the profile was read from."""
        return self._origin

    @property
    def content_hash(self) -> str:
        """Return the SHA-256 of what the profile says: another hash may map a file differently."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def zone(self) -> str:
        """Return the IANA name of the zone of local times."""
        return settings().time_zone if self.time_zone == OPERATOR_ZONE else self.time_zone

    def layouts(self) -> dict[int, list[str]]:
        """Return the names of the columns of a headerless file by number of fields."""
        if isinstance(self.columns, list):
            return {len(self.columns): self.columns}
        if isinstance(self.columns, dict):
            return {
                count: names
                for count, names in self.columns.items()
                if isinstance(count, int) and isinstance(names, list)
            }
        return {}

    def json_paths(self) -> dict[str, str]:
        """Return the JSON paths of the columns that a JSON lines profile names."""
        if isinstance(self.columns, dict):
            return {
                name: path for name, path in self.columns.items() if isinstance(name, str) and isinstance(path, str)
            }
        return {name: f'$."{name}"' for name in self.columns or []}

    def rules(self) -> dict[str, Rule]:
        """Return all rules by the key that a message names them with."""
        fields = {f"fields.{name}": rule for name, rule in self.fields.items()}
        return fields | {f"extras.{name}": rule for name, rule in self.extras.items()}

    def used_columns(self, available: list[str] | None = None) -> list[str]:
        """Return the columns the rules name; of those an expression may name, only `available` ones."""
        used = dict.fromkeys(rule.column for rule in self.rules().values() if rule.column is not None)
        expressions = " ".join(rule.expr for rule in self.rules().values() if rule.expr is not None)
        words = {word.casefold() for word in re.findall(r"\w+", expressions)}
        quoted = {word.casefold() for word in re.findall(r'"([^"]+)"', expressions)}
        for name in available or []:
            if name.casefold() in words | quoted:
                used.setdefault(name)
        return list(used)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value != OPERATOR_ZONE:
            try:
                zoneinfo.ZoneInfo(value)
            except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
                raise ValueError(
                    f"no such time zone: {value!r} (use an IANA name such as Europe/London, or operator)"
                ) from None
        return value

    @field_validator("fields", "extras", mode="before")
    @classmethod
    def _short_rules(cls, value: Any) -> Any:
        if isinstance(value, list):
            value = {name: name for name in value}
        if isinstance(value, dict):
            return {key: {"column": rule} if isinstance(rule, str) else rule for key, rule in value.items()}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        for name, rule in self.fields.items():
            _check_rule(name, rule)
        for name, rule in self.extras.items():
            odd = rule.model_fields_set - {"column", "expr"}
            if odd:
                raise ValueError(f"extras.{name}: takes column or expr only, has {', '.join(sorted(odd))}")
        if "extras" in self.fields and self.extras:
            raise ValueError("fields.extras and extras exclude each other")
        if self.format == "csv":
            self._check_csv()
        elif self.format in ("parquet", "avro") and self.columns is not None:
            raise ValueError(f"columns: a {self.format} file names its columns itself")
        elif self.format == "jsonl" and self.layouts():
            raise ValueError("columns: in jsonl a list of keys, or name: $.json.path")
        return self

    def _check_csv(self) -> None:
        if self.dialect.header:
            if self.columns is not None:
                raise ValueError("columns: only for files without a header (dialect.header: false)")
            return
        layouts = self.layouts()
        if not layouts:
            raise ValueError("columns: a file without a header needs the list of its columns")
        for count, names in layouts.items():
            if len(names) != count:
                raise ValueError(f"columns.{count}: lists {len(names)} names")
            if len(set(names)) != len(names):
                raise ValueError(f"columns.{count}: names a column twice")
        known = {name for names in layouts.values() for name in names}
        missing = sorted(set(self.used_columns()) - known)
        if missing:
            raise ValueError(f"columns: no column is called {', '.join(missing)}{_nearest(missing[0], known)}")


def load(name_or_path: str) -> Profile:
    """Return a profile by its name, or from a YAML file.

    Raises:
        ProfileError: there is no such profile, or its file is wrong.
    """
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        return read(Path(name_or_path).expanduser())
    files = profile_files()
    if name_or_path not in files:
        raise ProfileError(
            f"no profile is called {name_or_path!r}",
            detail=f"There are {', '.join(sorted(files))}.",
            hint="Give the path of a YAML file, or see: telestream profiles list.",
        )
    return read(files[name_or_path])


def load_all() -> list[Profile]:
    """Return all profiles, the shipped and the user's own, sorted by name."""
    return [read(path) for _, path in sorted(profile_files().items())]


def user_folder() -> Path:
    """Return the folder where a user's own profiles are looked for."""
    return settings().state_dir / "profiles"


def profile_files() -> dict[str, Path]:
    """Return the files of all profiles by name, which is the file's name without `.yaml`.

    Raises:
        ProfileError: a user's profile has the name of a shipped one.
    """
    files = {path.stem: path for path in SHIPPED.glob("*.yaml")}
    for path in user_folder().glob("*.yaml"):
        if path.stem in files:
            raise ProfileError(
                f"{path}: there is a shipped profile called {path.stem!r}", hint="Rename the file and its name:."
            )
        files[path.stem] = path
    return files


def read(path: Path) -> Profile:
    """Read a profile from a YAML file.

    Raises:
        ProfileError: the file is missing, no YAML, or says something that cannot be.
    """
    try:
        return _parsed(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError as exc:
        raise ProfileError(f"{path}: no such profile", hint="See: telestream profiles list.") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ProfileError(f"{path}: cannot be read", detail=f"{exc}.") from exc


@functools.lru_cache(maxsize=256)
def _parsed(text: str, path: Path) -> Profile:
    """Parse the text of a profile; sniffing does so with all of them for every file."""
    try:
        data = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as exc:
        raise ProfileError(f"{path}: not YAML", detail=" ".join(str(exc).split()) + ".") from exc
    if not isinstance(data, dict):
        raise ProfileError(f"{path}: not a profile", hint="See: telestream profiles show canonical.")
    return parse(data, path)


def parse(data: dict[str, Any], origin: Path | None = None) -> Profile:
    """Make a profile from the content of a YAML file.

    Raises:
        ProfileError: a key is unknown or a value not allowed; all problems are named at once.
    """
    try:
        profile = Profile.model_validate(data)
    except ValidationError as exc:
        problems = [_problem(error) for error in exc.errors()]
        raise ProfileError(
            f"{origin or 'profile'}: the profile cannot be used",
            detail="; ".join(problems) + ".",
            hint="docs/formats.md explains every key.",
        ) from exc
    profile._origin = origin
    return profile


def _check_rule(name: str, rule: Rule) -> None:
    kind = FIELDS.get(name)
    if kind is None:
        raise ValueError(f"fields.{name}: not a field of the canonical CDR{_nearest(name, set(FIELDS))}")
    where = f"fields.{name}"
    if rule.format is not None and kind not in _FORMATS_OF:
        raise ValueError(f"{where}.format: only times and durations have a format")
    if rule.format is not None and kind == "int32" and rule.format != ["hms"]:
        raise ValueError(f"{where}.format: allowed is hms")
    if rule.format is not None and kind == "time":
        for pattern in rule.format:
            if pattern != "iso" and pattern not in EPOCH_FORMATS and "%" not in pattern:
                raise ValueError(f"{where}.format: {pattern!r} is not one of {_FORMATS_OF['time']}")
    if rule.unit is not None:
        units = DURATION_UNITS if kind == "int32" else BYTE_UNITS if kind == "int64" else {}
        if rule.unit not in units:
            allowed = ", ".join(units) or "none: only durations and bytes have a unit"
            raise ValueError(f"{where}.unit: {rule.unit!r} is not allowed, allowed are {allowed}")
    if rule.scale is not None and kind not in ("int32", "int64", "money"):
        raise ValueError(f"{where}.scale: only numbers have a scale")
    if kind == "json" and rule.model_fields_set != {"column"}:
        raise ValueError(f"{where}: takes the name of a column; to collect columns use the top-level key extras")


def _problem(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        model: dict[Any, type[BaseModel]] = {
            "dialect": Dialect,
            "numbers": Numbers,
            "sniff": Sniff,
            "fields": Rule,
            "extras": Rule,
        }
        known = model.get(error["loc"][0], Profile) if len(error["loc"]) > 1 else Profile
        message = f"unknown key{_nearest(str(error['loc'][-1]), set(known.model_fields))}"
    return f"{place}: {message}" if place else message


def _nearest(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else f" (there are {', '.join(sorted(known))})"
