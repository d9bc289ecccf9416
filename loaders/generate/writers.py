"""Writes rendered blocks to a file in each format; encoding runs in worker threads, writing in order."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from typing import Any, BinaryIO, Protocol

import pyarrow.parquet as pq
import zstandard

from telestream.loaders.generate import avro_rows
from telestream.loaders.generate.arrow_rows import SCHEMA, ArrowRenderer
from telestream.loaders.generate.block import Block
from telestream.loaders.generate.population import Text
from telestream.loaders.generate.spec import FileFormat, GenerateSpec
from telestream.loaders.generate.text import TextRenderer

_TEXT_BLOCK_ROWS = 16_384
"""The working set of a block, about 6 MB, fits the cache; smaller blocks cost calls."""
_ROW_GROUP_ROWS = 131_072
_GZIP_LEVEL = 1
"""Level 6 costs three times as much for a file a tenth smaller."""
_ZSTD_LEVEL = 3
# Columns with few values: the others gain nothing from a dictionary and cost a hash a value.
_DICTIONARY_COLUMNS = (
    "source_system", "leg", "record_type", "direction", "duration_s", "billed_s", "cell_id", "region_code",
    "technology", "plan_code", "currency", "disposition", "cause", "apn",
)  # fmt: skip


class Sink(Protocol):
    """A file under way: `encode` may run in any thread, `write` and `close` in the order of the rows."""

    block_rows: int

    def encode(self, block: Block) -> Any:
        """Return what `write` takes for a block."""

    def write(self, encoded: Any) -> None:
        """Append an encoded block."""

    def close(self) -> None:
        """Write what follows the last block; the file itself stays open."""


class _Plain:
    """Lines as they are."""

    block_rows = _TEXT_BLOCK_ROWS

    def __init__(self, renderer: TextRenderer, file: BinaryIO) -> None:
        self._renderer = renderer
        self._file = file
        file.write(renderer.header)

    def encode(self, block: Block) -> memoryview:
        return self._renderer.render(block).data

    def write(self, encoded: memoryview) -> None:
        self._file.write(encoded)

    def close(self) -> None:
        pass


class _Zstd(_Plain):
    """Lines in one zstd frame: readers that stop after the first frame lose nothing."""

    def __init__(self, renderer: TextRenderer, file: BinaryIO) -> None:
        self._frame = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).stream_writer(file, closefd=False)
        super().__init__(renderer, self._frame)

    def close(self) -> None:
        self._frame.flush(zstandard.FLUSH_FRAME)


class _Gzip:
    """Lines in one gzip member whose blocks are deflated in parallel, as pigz does (RFC 1951, RFC 1952)."""

    block_rows = _TEXT_BLOCK_ROWS
    # Deflate, no flags, no time of writing (equal specs give equal bytes), unknown operating system.
    _HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

    def __init__(self, renderer: TextRenderer, file: BinaryIO) -> None:
        self._renderer = renderer
        self._file = file
        self._checksum = 0
        self._size = 0
        file.write(self._HEADER)
        header = memoryview(renderer.header)
        self.write((header, _deflated(header, zlib.Z_SYNC_FLUSH)))

    def encode(self, block: Block) -> tuple[memoryview, bytes]:
        lines = self._renderer.render(block).data
        return lines, _deflated(lines, zlib.Z_SYNC_FLUSH)

    def write(self, encoded: tuple[memoryview, bytes]) -> None:
        lines, deflated = encoded
        self._checksum = zlib.crc32(lines, self._checksum)
        self._size += len(lines)
        self._file.write(deflated)

    def close(self) -> None:
        self._file.write(_deflated(memoryview(b""), zlib.Z_FINISH))
        self._file.write(struct.pack("<II", self._checksum, self._size & 0xFFFF_FFFF))


class _Parquet:
    """Row groups of 131 072 rows."""

    block_rows = _ROW_GROUP_ROWS

    def __init__(self, texts: dict[str, Text], file: BinaryIO) -> None:
        self._renderer = ArrowRenderer(texts)
        self._writer = pq.ParquetWriter(
            file, SCHEMA, compression="zstd", use_dictionary=list(_DICTIONARY_COLUMNS), store_schema=False
        )

    def encode(self, block: Block) -> Any:
        return self._renderer.render(block)

    def write(self, encoded: Any) -> None:
        self._writer.write_batch(encoded)

    def close(self) -> None:
        self._writer.close()


class _Avro:
    """An object container file with deflate, the one codec besides null that every reader has."""

    block_rows = _TEXT_BLOCK_ROWS

    def __init__(self, texts: dict[str, Text], file: BinaryIO) -> None:
        self._renderer = avro_rows.AvroRenderer(texts)
        self._file = file
        schema = json.dumps(avro_rows.SCHEMA, separators=(",", ":")).encode()
        self._marker = hashlib.sha256(schema).digest()[:16]
        file.write(b"Obj\x01" + avro_rows.encoded(2))
        for part in (b"avro.schema", schema, b"avro.codec", b"deflate"):
            file.write(avro_rows.encoded(len(part)) + part)
        file.write(avro_rows.encoded(0) + self._marker)

    def encode(self, block: Block) -> tuple[int, bytes]:
        return block.rows, _deflated(self._renderer.render(block).data, zlib.Z_FINISH)

    def write(self, encoded: tuple[int, bytes]) -> None:
        rows, body = encoded
        self._file.write(avro_rows.encoded(rows) + avro_rows.encoded(len(body)))
        self._file.write(body)
        self._file.write(self._marker)

    def close(self) -> None:
        pass


def _deflated(data: memoryview, ending: int) -> bytes:
    deflate = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush(ending)


def open_sink(spec: GenerateSpec, texts: dict[str, Text], file: BinaryIO) -> Sink:
    """Start a file in the format of the spec."""
    match spec.format:
        case FileFormat.PARQUET:
            return _Parquet(texts, file)
        case FileFormat.AVRO:
            return _Avro(texts, file)
    renderer = TextRenderer(spec, texts, json=spec.format.value.startswith("jsonl"))
    match spec.format:
        case FileFormat.CSV_GZ | FileFormat.JSONL_GZ:
            return _Gzip(renderer, file)
        case FileFormat.CSV_ZST | FileFormat.JSONL_ZST:
            return _Zstd(renderer, file)
    return _Plain(renderer, file)
