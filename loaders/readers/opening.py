"""Opens a source by a profile as a stream of segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from telestream.errors import ProfileError
from telestream.loaders.mapping import mapper_for
from telestream.loaders.profile import Profile
from telestream.loaders.readers.avro import AvroRecords
from telestream.loaders.readers.blocks import LineStream
from telestream.loaders.readers.delimited import delimited_parser
from telestream.loaders.readers.json_lines import JsonLinesParser
from telestream.loaders.readers.lines import line_segments
from telestream.loaders.readers.parquet import ParquetRecords
from telestream.loaders.readers.records import record_segments
from telestream.loaders.readers.segment import SEGMENT_BYTES, DoneSegment, Segment
from telestream.loaders.sources import AVRO_MAGIC, PARQUET_MAGIC, Source

_CONTAINERS = {PARQUET_MAGIC: "parquet", AVRO_MAGIC: "avro"}


def open_segments(
    source: Source,
    profile: Profile,
    *,
    resume: Mapping[int, DoneSegment] | None = None,
    segment_bytes: int = SEGMENT_BYTES,
) -> Iterator[Segment]:
    """Yield the segments of a file that are not done yet, mapped to canonical records.

    The same content is always cut in the same way. A line that says nothing is among the rejects of its
    segment; no line vanishes.

    Args:
        source: the file.
        profile: its layout.
        resume: the segments that are done, by number; they are skipped without being parsed.
        segment_bytes: decompressed bytes of a segment; Parquet and Avro count `RECORD_BYTES` per record.

    Raises:
        SourceError: the file cannot be read (to its end).
        ProfileError: the profile does not fit the file.
    """
    with _naming(source):
        yield from _segments(source, profile, resume or {}, segment_bytes)


def _segments(
    source: Source, profile: Profile, done: Mapping[int, DoneSegment], segment_bytes: int
) -> Iterator[Segment]:
    container = profile.format if profile.format in _CONTAINERS.values() else "text"
    if _CONTAINERS.get(source.head(len(PARQUET_MAGIC)), "text") != container:
        raise ProfileError(
            f"profile {profile.name}: reads {profile.format}, the file is not that",
            hint="See which profile fits: telestream profiles test FILE.",
        )
    if container != "text":
        records = (ParquetRecords if container == "parquet" else AvroRecords)(source, profile)
        with closing(records):
            yield from record_segments(records, profile, done, segment_bytes)
    else:
        with closing(LineStream(source, profile.dialect.encoding)) as stream:
            parser = delimited_parser(source, profile, stream) if profile.format == "csv" else JsonLinesParser(profile)
            mapper = mapper_for(profile, parser.schema)
            yield from line_segments(source, stream, parser, mapper, done, segment_bytes)


@contextmanager
def _naming(source: Source) -> Iterator[None]:
    """Name the file in what is wrong with a profile: another file may suit it."""
    try:
        yield
    except ProfileError as exc:
        raise ProfileError(f"{source.uri}: {exc}", detail=exc.detail, hint=exc.hint) from exc
