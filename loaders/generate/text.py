"""Renders blocks as lines of CSV or JSON, and breaks the lines that are to be bad."""

from __future__ import annotations

import time
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from telestream.loaders.generate.block import (
    ABSENT,
    CODED,
    COLUMNS,
    CURRENCY,
    KEY_LENGTH,
    NUMBERS,
    TIMES,
    Block,
    key_text,
)
from telestream.loaders.generate.defects import BEFORE_DAY_HOURS, BadKind
from telestream.loaders.generate.layout import Layout, Rows, as_field
from telestream.loaders.generate.mixing import I64
from telestream.loaders.generate.population import Text
from telestream.loaders.generate.spec import GenerateSpec
from telestream.loaders.generate.timeline import day_in_2036, epoch_seconds

_DAY_S = 86_400
_BROKEN_TIME = b"2026-13-45T25:61:61"
_SURPLUS = b",surplus"
_NUL_STAND_IN = 1
"""A NUL that belongs to a line waits as this byte until the filler, which is NUL, is gone."""
_NOT_UTF8 = 0xFF
_WRONG_BYTE_AT = 5
"""Which character of the caller becomes the wrong byte."""
_CUT_JSON_AT = "technology"
"""Where a broken JSON line ends."""

# Groups of four digits that the largest value of a column needs.
_GROUPS = {"duration_s": 2, "billed_s": 2, "bytes_up": 3, "bytes_down": 3, "charge": 2}
_PADDED, _BLANK, _NULL = 10_000, 20_000, 20_001
"""Places in the table of digit groups: with leading zeros, nothing, null."""


def _table(entries: list[bytes] | Text) -> Rows:
    padded = np.asarray(entries, dtype="S")
    return as_field(padded.view(np.uint8).reshape(len(padded), -1))


class TextRenderer:
    """Renders blocks as JSON lines or as CSV. Threads may share it."""

    def __init__(self, spec: GenerateSpec, texts: dict[str, Text], *, json: bool) -> None:
        self._json = json
        self._quote = b'"' if json else b""
        self._null = b"null" if json else b""
        self._texts = {name: self._quoted(texts[name]) for name in CODED}
        self._roaming = _table([b"false", b"true"])
        self._digits = self._digit_table()
        self._first_second = epoch_seconds(spec.day) - BEFORE_DAY_HOURS * 3_600
        self._last_second, self._gap, self._seconds = self._second_table(spec.day)
        self._milliseconds = _table([*(f".{ms:03d}Z".encode() + self._quote for ms in range(1_000)), b""])
        self._column_at: dict[str, int] = {}
        self._layout = self._make_layout()

    @property
    def header(self) -> bytes:
        """What stands before the first row."""
        return b"" if self._json else ",".join(COLUMNS).encode() + b"\n"

    def _quoted(self, texts: Text) -> Rows:
        if self._json:
            texts = np.char.add(np.char.add(self._quote, texts), self._quote)
        return _table(np.append(texts, self._null))

    def _digit_table(self) -> Rows:
        plain = [str(value).encode() for value in range(10_000)]
        padded = [text.zfill(4) for text in plain]
        return _table([*plain, *padded, b"", self._null])

    def _second_table(self, day: date) -> tuple[int, int, Rows]:
        """Return the end of the days around `day`, the gap from there to 2036, the text of each second."""
        near = [day + timedelta(days=shift) for shift in (-2, -1, 0, 1)]
        future = [day_in_2036(day), day_in_2036(day) + timedelta(days=1)]
        clock = np.array([time.strftime("T%H:%M:%S", time.gmtime(s)).encode() for s in range(_DAY_S)])
        entries = [np.char.add(self._quote + one.isoformat().encode(), clock) for one in (*near, *future)]
        end = epoch_seconds(near[-1]) + _DAY_S
        return end, epoch_seconds(future[0]) - end, _table(np.append(np.concatenate(entries), self._null))

    def _make_layout(self) -> Layout:
        layout = Layout(binary=False)
        for name in COLUMNS:
            first = name == COLUMNS[0]
            self._column_at[name] = layout.width
            if self._json:
                layout.constant(f'{"{" if first else ","}"{name}":'.encode())
            else:
                layout.constant(b"" if first else b",")
            self._lay_out(layout, name)
        if not self._json:
            layout.field("surplus", len(_SURPLUS))
        layout.constant(b"}\n" if self._json else b"\n")
        return layout

    def _lay_out(self, layout: Layout, name: str) -> None:
        quote = self._quote
        if name in CODED:
            layout.field(name, self._texts[name].itemsize)
        elif name == "native_key":
            layout.field(name, KEY_LENGTH + 2 * len(quote))
        elif name in TIMES:
            layout.field(name, self._seconds.itemsize)
            layout.field(f"{name} ms", self._milliseconds.itemsize)
        elif name == "leg":
            layout.constant(b"0")
        elif name == "currency":
            layout.constant(quote + CURRENCY.encode() + quote)
        elif name == "is_roaming":
            layout.field(name, self._roaming.itemsize)
        else:
            money = name == "charge"
            layout.constant(quote if money else b"")
            layout.field(f"{name} sign", 1)
            for group in range(_GROUPS[name]):
                layout.field(f"{name} {group}", 4)
            if money:
                layout.constant(b".")
                layout.field("charge fraction", 4)
                layout.constant(quote)

    def render(self, block: Block) -> npt.NDArray[np.uint8]:
        """Return the bytes of the block's lines."""
        rows = self._layout.blank(block.rows)
        for name in CODED:
            rows[name] = self._texts[name][block.codes[name]]
        self._put_keys(rows, block)
        for name in TIMES:
            self._put_time(rows, name, block)
        for name in NUMBERS:
            self._put_number(rows, name, block.numbers[name])
        self._put_charge(rows, block.charge)
        rows["is_roaming"] = self._roaming[block.roaming.view(np.uint8)]
        self._break(rows, block)
        lines = self._layout.pack(rows)
        if len(block.placement.bad(BadKind.ENCODING)):
            lines[lines == _NUL_STAND_IN] = 0
        return lines

    def _put_keys(self, rows: Rows, block: Block) -> None:
        quote = len(self._quote)
        keys = np.full((block.rows, KEY_LENGTH + 2 * quote), ord('"'), dtype=np.uint8)
        keys[:, quote : quote + KEY_LENGTH] = key_text(block.key)
        rows["native_key"] = as_field(keys)
        rows["native_key"][block.key_missing] = self._null

    def _put_time(self, rows: Rows, name: str, block: Block) -> None:
        seconds = block.times[name]
        absent = seconds == ABSENT
        place = np.where(seconds < self._last_second, seconds, seconds - self._gap) - self._first_second
        place[absent] = -1
        rows[name] = self._seconds[place]
        rows[f"{name} ms"] = self._milliseconds[np.where(absent, -1, block.millisecond)]

    def _put_number(self, rows: Rows, name: str, values: I64) -> None:
        absent = values == ABSENT
        rest = np.where(absent, 0, np.abs(values))
        last = _GROUPS[name] - 1
        for group in range(last, -1, -1):
            above = rest // 10_000
            place = rest - above * 10_000
            place[above > 0] += _PADDED
            if group == last:
                place[absent] = _NULL
            else:
                place[rest == 0] = _BLANK
            rows[f"{name} {group}"] = self._digits[place]
            rest = above
        rows[f"{name} sign"][(values < 0) & ~absent] = b"-"

    def _put_charge(self, rows: Rows, charge: I64) -> None:
        amount = np.abs(charge)
        whole = amount // 10_000
        self._put_number(rows, "charge", whole)
        rows["charge fraction"] = self._digits[amount - whole * 10_000 + _PADDED]
        rows["charge sign"][charge < 0] = b"-"

    def _break(self, rows: Rows, block: Block) -> None:
        """Damage the rows whose defect only a line of text can have."""
        bad = block.placement.bad
        rows["started_at"][bad(BadKind.UNPARSABLE_TIME)] = self._quote + _BROKEN_TIME

        lines = self._layout.units(rows)
        at = bad(BadKind.ENCODING)
        odd = (block.first + at) % 2 == 1
        lines[at, self._layout.place["caller"] + _WRONG_BYTE_AT] = np.where(odd, _NUL_STAND_IN, _NOT_UTF8)

        at = bad(BadKind.FIELD_COUNT)
        if self._json:
            lines[at, self._column_at[_CUT_JSON_AT] : -1] = 0
            return
        odd = (block.first + at) % 2 == 1
        rows["surplus"][at[odd]] = _SURPLUS
        lines[at[~odd], self._column_at[COLUMNS[-1]] : -1] = 0
