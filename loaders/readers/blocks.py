"""Cuts a stream of text into blocks of whole lines, and finds the raw text of single lines again."""

from __future__ import annotations

import codecs
import os
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from telestream.errors import SourceError
from telestream.loaders.sources import Source, reading

BLOCK_BYTES = 1 << 20
"""What is parsed at once: pyarrow's CSV reader was measured fastest here, it fits the processor's cache."""

MAX_LINE_BYTES = 1 << 20
"""A longer line is refused: without a limit a file without line ends would have to fit into memory."""

SHOWN_BYTES = 64 << 10
"""How much of a line that is too long is kept as its raw text."""

BLANKS = " \t\r\n\f\v"
"""A line of nothing else holds no data: what `bytes.strip` takes away, not every space of Unicode."""

_UTF8_MARK = codecs.BOM_UTF8
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LINE_FEED = ord("\n")
_MARKING = "telestream-mark"


def _mark_wrong_bytes(error: UnicodeError) -> tuple[str, int]:
    """Leave in place of what cannot be decoded a byte that is no UTF-8, so that the line is refused for it."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end  # "surrogateescape" writes this as the byte 0xff


codecs.register_error(_MARKING, _mark_wrong_bytes)


@dataclass(frozen=True)
class Block:
    """Some whole lines.

    Attributes:
        data: UTF-8 (so far as the source is right), without a byte order mark.
        offset: where it begins in the decompressed UTF-8 stream.
        size: how many bytes of that stream it covers.
        first_line: number of its first line.
        lines: how many lines it holds; the last may lack its line end.
        too_long: it is one line beyond `MAX_LINE_BYTES`, of which `data` is the beginning.
    """

    data: bytes
    offset: int
    size: int
    first_line: int
    lines: int
    too_long: bool = False

    @property
    def end(self) -> int:
        """Return the offset after the last byte."""
        return self.offset + self.size

    @property
    def next_line(self) -> int:
        """Return the number of the line after the last."""
        return self.first_line + self.lines


class LineStream:
    """The lines of a source as UTF-8, in blocks."""

    def __init__(self, source: Source, encoding: str) -> None:
        self._content = source.content()
        try:
            head = self._content.read_fully(4)
        except BaseException:
            self._content.close()
            raise
        # A byte order mark is more certain than the profile, which is written for many files.
        if head.startswith(_UTF16_MARKS):
            encoding = "utf-16"
        self._decoder = None
        if codecs.lookup(encoding).name not in ("utf-8", "ascii", "utf-8-sig"):
            self._decoder = codecs.getincrementaldecoder(encoding)(errors=_MARKING)
        self._ended = False
        self._rest = b""
        self._rest = self._decoded(head)
        self._mark = len(_UTF8_MARK) if self._rest.startswith(_UTF8_MARK) else 0
        self._rest = self._rest[self._mark :]
        self.offset = 0
        self.line = 1

    def close(self) -> None:
        """Close the source."""
        self._content.close()

    @property
    def is_seekable(self) -> bool:
        """Say whether offsets in the stream are offsets in the stored file."""
        return self._content.seekable and self._decoder is None

    def skip_to(self, offset: int, line: int) -> None:
        """Go on at an offset of the stream, which is where line `line` begins."""
        if self.is_seekable:
            self._content.seek(offset)
            self._rest, self._ended = b"", False
        else:
            left = offset - self.offset - self._mark
            while left > 0 and (self._rest or self._fill(BLOCK_BYTES)):
                dropped = min(left, len(self._rest))
                self._rest = self._rest[dropped:]
                left -= dropped
        self.offset, self.line, self._mark = offset, line, 0

    def peek_line(self) -> bytes:
        """Return the next line, or what is there of it within `MAX_LINE_BYTES`, without taking it."""
        while b"\n" not in self._rest and len(self._rest) < MAX_LINE_BYTES and self._fill(BLOCK_BYTES):
            pass
        return self._rest.partition(b"\n")[0]

    def read_line(self) -> Block | None:
        """Return the next line alone."""
        return self.read_block(1)

    def read_block(self, size: int) -> Block | None:
        """Return the lines that end within the next `size` bytes, at least one; nothing at the end."""
        while len(self._rest) < size and self._fill(size - len(self._rest)):
            pass
        if not self._rest:
            return None
        cut = self._rest.rfind(b"\n", 0, size) + 1
        if cut == 0:
            return self._one_line(size)
        # numpy counts six times as fast as bytes.count() where hits are frequent.
        lines = int(np.count_nonzero(np.frombuffer(self._rest, np.uint8, cut) == _LINE_FEED))
        return self._take(cut, lines)

    def _one_line(self, searched: int) -> Block:
        """Return a line that does not end within the first `searched` bytes."""
        while True:
            cut = self._rest.find(b"\n", searched) + 1
            if cut == 0 and len(self._rest) <= MAX_LINE_BYTES:
                searched = len(self._rest)
                if self._fill(BLOCK_BYTES):
                    continue
                cut = searched
            if 0 < cut <= MAX_LINE_BYTES:
                return self._take(cut, 1)
            return self._too_long()

    def _too_long(self) -> Block:
        """Drop bytes up to the line end, keeping only the beginning."""
        shown, dropped = self._rest[:SHOWN_BYTES], 0
        while (cut := self._rest.find(b"\n") + 1) == 0:
            dropped += len(self._rest)
            self._rest = b""
            if not self._fill(BLOCK_BYTES):
                break
        self._rest = self._rest[cut:]
        block = Block(shown, self.offset, self._mark + dropped + cut, self.line, 1, too_long=True)
        return self._advance(block)

    def _take(self, cut: int, lines: int) -> Block:
        data, self._rest = self._rest[:cut], self._rest[cut:]
        return self._advance(Block(data, self.offset, self._mark + cut, self.line, lines))

    def _advance(self, block: Block) -> Block:
        self.offset, self.line, self._mark = block.end, block.next_line, 0
        return block

    def _fill(self, size: int) -> bool:
        """Read on; False at the end."""
        while not self._ended:
            chunk = self._decoded(self._content.read(size))
            if chunk:
                self._rest += chunk
                return True
        return False

    def _decoded(self, stored: bytes) -> bytes:
        self._ended = not stored
        if self._decoder is None:
            return stored
        text = self._decoder.decode(stored, final=self._ended)
        return text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class _Kept:
    """Where the text of a block is: in the file, or here as lz4 (`length` bytes once decompressed)."""

    first_line: int
    offset: int
    size: int
    stored: bytes | None
    length: int


class KeptText:
    """Finds the raw text of lines of one segment.

    A plain local file is read again, which costs nothing while all is well; of others the bytes are kept,
    compressed by lz4.
    """

    def __init__(self, file: OpenFile | None) -> None:
        self._file = file
        self._blocks: list[_Kept] = []

    def add(self, block: Block) -> None:
        """Keep what is needed to find the lines of a block again; blocks come in order."""
        again = self._file is not None and not block.too_long
        stored = None if again else bytes(pa.compress(block.data, "lz4"))
        self._blocks.append(_Kept(block.first_line, block.offset, block.size, stored, len(block.data)))

    def __call__(self, lines: Collection[int]) -> dict[int, str]:
        """Return the raw text of lines by number."""
        firsts = [kept.first_line for kept in self._blocks]
        wanted: dict[int, list[int]] = {}
        for line in sorted(lines):
            wanted.setdefault(bisect_right(firsts, line) - 1, []).append(line)
        found: dict[int, str] = {}
        for position, numbers in wanted.items():
            kept = self._blocks[position]
            found |= raw_text(self._data(kept), kept.first_line, numbers)
        return found

    def _data(self, kept: _Kept) -> bytes:
        if kept.stored is not None:
            return bytes(pa.decompress(kept.stored, kept.length, "lz4"))
        assert self._file is not None  # add() keeps the bytes otherwise
        data = self._file.read(kept.offset, kept.size)
        return data.removeprefix(_UTF8_MARK) if kept.offset == 0 else data


def raw_text(data: bytes, first_line: int, wanted: Collection[int]) -> dict[int, str]:
    """Return lines of a block as text that PostgreSQL can store: what is not UTF-8, and NUL, as `\\x..`."""
    lines = data.split(b"\n")
    return {number: printable(lines[number - first_line]) for number in wanted}


def printable(line: bytes) -> str:
    """Return a line without its end as text that PostgreSQL can store."""
    return line.rstrip(b"\r\n").decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def no_text(line: bytes) -> tuple[str, str] | None:
    """Return the rule and reason for which a line is no text that PostgreSQL can store, if there is one."""
    if b"\0" in line:
        return "nul_byte", f"a NUL byte at position {line.index(0) + 1}"
    try:
        line.decode()
    except UnicodeDecodeError as exc:
        return "encoding", f"byte 0x{line[exc.start]:02x} at position {exc.start + 1} is not UTF-8"
    return None


def decodes(data: bytes) -> bool:
    """Say whether bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class OpenFile:
    """A local file that stays readable for as long as a segment refers to it, even if it is renamed or removed."""

    def __init__(self, source: Source) -> None:
        with reading(source.uri):
            self._descriptor = os.open(source.uri, os.O_RDONLY)
        self._uri = source.uri

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from an offset.

        Raises:
            SourceError: the file has become shorter.
        """
        with reading(self._uri):
            data = os.pread(self._descriptor, size, offset)
        if len(data) != size:
            raise SourceError(f"{self._uri}: the file became shorter while it was being loaded")
        return data
