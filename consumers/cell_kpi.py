"""Maps measurements of a handset (G-NetTrack Pro, a line a second) to network events, and accounts for each line.

A file is CSV with a header and no quotes; `-` means that there is no value. Times are local and name no zone.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa

from telestream.consumers.generate.events import EVENT_SCHEMA
from telestream.errors import SourceError

TIME_ZONE = "Europe/Dublin"
SOURCE_SYSTEM = "g-nettrack"
_TEXTS = ("Timestamp", "Operatorname", "NetworkMode", "State", "NODEHEX", "LACHEX", "RAWCELLID")
_NUMBERS = ("Longitude", "Latitude", "Speed", "RSRP", "RSRQ", "SNR", "DL_bitrate", "UL_bitrate", "PINGAVG", "PINGLOSS")
_BLOCK_BYTES = 1 << 20
_FIRST_LINE = 2
"""Line 1 is the header."""


@dataclass(frozen=True)
class Refused:
    """A line that is not sent: its number in the file, from 1, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Stretch:
    """What became of consecutive lines: every one of them is either an event or refused."""

    events: pa.Table
    """Columns of EVENT_SCHEMA, in the order of the file."""
    refused: list[Refused]

    @property
    def rows(self) -> int:
        """Lines read."""
        return len(self.events) + len(self.refused)


class CellKpiFile:
    """A file of measurements; equal content gives equal event ids, whatever the file is called."""

    def __init__(self, path: Path) -> None:
        """Read the header and take the hash of the content.

        Raises:
            SourceError: the file cannot be read, or columns are missing.
        """
        self.path = path
        try:
            with path.open("rb") as file:
                header, self._first = file.readline(), file.readline()
                file.seek(0)
                self._hash = hashlib.file_digest(file, "sha256").hexdigest()[:16]
            self.size = path.stat().st_size
        except OSError as exc:
            raise SourceError(f"cannot read {path}", detail=f"{exc.strerror}.") from exc
        self._columns = tuple(header.decode("utf-8-sig", "replace").strip().split(","))
        if missing := [name for name in (*_TEXTS, *_NUMBERS) if name not in self._columns]:
            raise SourceError(
                f"{path} does not hold cell measurements",
                detail=f"Its first line does not name {', '.join(missing)}.",
                hint="telestream produce cell-kpi --help says what such a file looks like.",
            )

    @property
    def first_time(self) -> str:
        """Timestamp of the first measurement as it is written, which sorts as the times do."""
        values = self._first.decode("utf-8", "replace").split(",")
        place = self._columns.index("Timestamp")
        return values[place] if place < len(values) else ""

    def stretches(self) -> Iterator[Stretch]:
        """Read what follows the header, about a megabyte at a time.

        Raises:
            SourceError: the file cannot be read to its end.
        """
        mapper = _mapper(self._columns)
        number = _FIRST_LINE
        for lines in self._lines():
            yield mapper.map(lines, number, self._hash)
            number += len(lines)

    def _lines(self) -> Iterator[list[bytes]]:
        try:
            with self.path.open("rb") as file:
                file.readline()
                yield from _blocks(file)
        except OSError as exc:
            raise SourceError(f"cannot read {self.path} to its end", detail=f"{exc.strerror}.") from exc


def _blocks(file: BinaryIO) -> Iterator[list[bytes]]:
    """Return the lines of a file without their ends; the last one needs none."""
    rest = b""
    while block := file.read(_BLOCK_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        if lines:
            yield lines
    if rest:
        yield [rest]


class _Mapper:
    """Maps lines of files with the same header; planning the query takes longer than running it, so it is kept."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._connection = duckdb.connect()
        self._connection.execute(f"SET TimeZone = '{TIME_ZONE}'")
        self._connection.execute("CREATE TABLE lines (line BIGINT, bytes BLOB)")
        self._connection.execute(f"PREPARE mapping AS {_query(columns)}")

    def map(self, lines: list[bytes], number: int, content: str) -> Stretch:
        """Map lines, the first of which has this number in a file with this content."""
        numbers = pa.array(range(number, number + len(lines)), pa.int64())
        self._connection.from_arrow(pa.table({"line": numbers, "bytes": pa.array(lines, pa.binary())})).insert_into(
            "lines"
        )
        mapped = self._connection.sql(f"EXECUTE mapping('{content}')").to_arrow_table()
        self._connection.execute("TRUNCATE lines")
        is_good = mapped.column("reason").is_null()
        bad = mapped.filter(mapped.column("reason").is_valid()).select(["line", "reason"]).to_pylist()
        events = mapped.filter(is_good).select(EVENT_SCHEMA.names).cast(EVENT_SCHEMA)
        return Stretch(events.combine_chunks(), [Refused(row["line"], row["reason"]) for row in bad])


_mapper = functools.cache(_Mapper)


def _query(columns: tuple[str, ...]) -> str:
    """Return SQL that maps `lines` (line, bytes) to the columns of an event and the reason to refuse it."""

    def text(name: str) -> str:
        return f"nullif(nullif(trim(f[{columns.index(name) + 1}]), '-'), '') AS {name}"

    not_numbers = "\n".join(
        f"WHEN {name} IS NOT NULL AND NOT coalesce(isfinite(TRY_CAST({name} AS DOUBLE)), false)"
        f" THEN '{name} is not a number: ' || {name}[:40]"
        for name in _NUMBERS
    )
    numbers = {name: f"TRY_CAST({name} AS DOUBLE)" for name in _NUMBERS}
    return f"""
        WITH decoded AS (SELECT line, rtrim(TRY(decode(bytes)), chr(13)) AS text FROM lines),
        split AS (SELECT line, text, string_split(text, ',') AS f FROM decoded),
        named AS (SELECT line, text, f, {", ".join(map(text, (*_TEXTS, *_NUMBERS)))} FROM split),
        typed AS (
            SELECT *,
                try_strptime(Timestamp, '%Y.%m.%d_%H.%M.%S') AS local_time,
                CASE
                    WHEN NetworkMode = '5G' THEN '5g'
                    WHEN NetworkMode = 'LTE' THEN '4g'
                    WHEN NetworkMode IN ('UMTS', 'HSDPA', 'HSUPA', 'HSPA', 'HSPA+') THEN '3g'
                    WHEN NetworkMode IN ('GSM', 'GPRS', 'EDGE') THEN '2g'
                END AS technology
            FROM named
        )
        SELECT
            line,
            CASE
                WHEN text IS NULL THEN 'the line is not UTF-8'
                WHEN contains(text, chr(0)) THEN 'the line holds a NUL character'
                WHEN text = '' THEN 'the line is empty'
                WHEN len(f) <> {len(columns)} THEN len(f) || ' fields where {len(columns)} are expected'
                WHEN Timestamp IS NULL THEN 'Timestamp is missing'
                WHEN local_time IS NULL THEN 'Timestamp is not a time: ' || Timestamp[:40]
                {not_numbers}
            END AS reason,
            $1 || '-' || line AS event_id,
            timezone('{TIME_ZONE}', local_time) AS event_at,
            '{SOURCE_SYSTEM}' AS source_system,
            'kpi_sample' AS event_type,
            NULL::VARCHAR AS outcome,
            -- The number of a GSM cell counts within its location area, all others within the network.
            CASE
                WHEN RAWCELLID <> '0' AND NODEHEX IS NULL THEN Operatorname || '-' || LACHEX || '-' || RAWCELLID
                WHEN RAWCELLID <> '0' THEN Operatorname || '-' || RAWCELLID
            END AS cell_id,
            technology,
            NULL::VARCHAR AS severity,
            NULL::VARCHAR AS subscriber,
            -- Below LTE the same columns hold other quantities (RSCP and Ec/N0, RXLEV and RXQUAL).
            CASE WHEN technology IN ('4g', '5g') THEN {numbers["RSRP"]} END AS rsrp_dbm,
            CASE WHEN technology IN ('4g', '5g') THEN {numbers["RSRQ"]} END AS rsrq_db,
            CASE WHEN technology IN ('4g', '5g') THEN {numbers["SNR"]} END AS sinr_db,
            {numbers["PINGAVG"]} AS latency_ms,
            {numbers["UL_bitrate"]} AS throughput_up_kbps,
            {numbers["DL_bitrate"]} AS throughput_down_kbps,
            {numbers["PINGLOSS"]} AS packet_loss_pct,
            NULL::VARCHAR AS cause,
            -- The merge leaves out what is null.
            CAST(json_merge_patch('{{}}', json_object(
                'state', State, 'speed', {numbers["Speed"]}, 'latitude', {numbers["Latitude"]},
                'longitude', {numbers["Longitude"]}, 'network_mode', NetworkMode,
                'level_dbm', CASE WHEN technology IN ('2g', '3g') THEN {numbers["RSRP"]} END,
                'quality', CASE WHEN technology IN ('2g', '3g') THEN {numbers["RSRQ"]} END
            )) AS VARCHAR) AS payload
        FROM typed
        ORDER BY line
    """
