"""Steps over one Avro value of any type in one record: for what has no columnar form, such as arrays and maps."""

from __future__ import annotations

from typing import Any

from telestream.consumers.avro_types import Names, kind_of

_FIXED_SIZES = {"null": 0, "float": 4, "double": 8}
_BITS = 64


class MalformedError(Exception):
    """The bytes are no value of this type; the message says why."""


def skip(type_: Any, names: Names, data: bytes, place: int, end: int) -> int:
    """Return the place after a value.

    Args:
        type_: type of the value.
        names: the named types of its schema.
        data: bytes with the value.
        place: where it begins.
        end: where its record ends.

    Raises:
        MalformedError: there is no such value, or it ends beyond the record.
    """
    try:
        after = _Skipper(names, data, end).value(type_, place)
    except RecursionError:
        raise MalformedError("nested too deeply") from None
    if after > end:
        raise MalformedError("the message ends too early")
    return after


def is_utf8(value: bytes) -> bool:
    """Tell whether bytes are text."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


class _Skipper:
    def __init__(self, names: Names, data: bytes, end: int) -> None:
        self._names = names
        self._data = data
        self._end = end

    def value(self, type_: Any, place: int) -> int:
        """Return the place after a value; it may be beyond the end only for values of a fixed size."""
        type_ = self._names.resolve(type_)
        if isinstance(type_, list):
            index, place = self._integer(place)
            if not 0 <= index < len(type_):
                raise MalformedError("no such branch of its union")
            return self.value(type_[index], place)
        kind = kind_of(type_)
        if kind in _FIXED_SIZES:
            return place + _FIXED_SIZES[kind]
        if kind == "boolean":
            if self._data[self._within(place)] > 1:
                raise MalformedError("neither true nor false")
            return place + 1
        if kind == "fixed":
            return place + int(type_["size"])
        if kind in ("string", "bytes"):
            return self._text(place, is_text=kind == "string")
        if kind == "record":
            for field in type_["fields"]:
                place = self.value(field["type"], place)
            return place
        if kind in ("array", "map"):
            return self._blocks(type_, place)
        number, place = self._integer(place)
        if kind == "int" and not -(1 << 31) <= number < 1 << 31:
            raise MalformedError("more than 32 bits")
        if kind == "enum" and not 0 <= number < len(type_["symbols"]):
            raise MalformedError("no such symbol of its enum")
        return place

    def _blocks(self, type_: dict[str, Any], place: int) -> int:
        while True:
            count, place = self._integer(place)
            if count == 0:
                return place
            if count < 0:  # its size in bytes follows
                count = -count
                _, place = self._integer(place)
            if count > self._end - place:
                raise MalformedError("more items than bytes")
            for _ in range(count):
                if type_["type"] == "map":
                    place = self._text(place, is_text=True)
                place = self.value(type_.get("values", type_.get("items")), place)

    def _text(self, place: int, *, is_text: bool) -> int:
        length, place = self._integer(place)
        if length < 0:
            raise MalformedError("a negative length")
        if length > self._end - place:
            raise MalformedError("the message ends too early")
        if is_text and not is_utf8(self._data[place : place + length]):
            raise MalformedError("no UTF-8")
        return place + length

    def _integer(self, place: int) -> tuple[int, int]:
        number = 0
        for shift in range(0, _BITS + 6, 7):
            octet = self._data[self._within(place)]
            place += 1
            number |= (octet & 0x7F) << shift
            if octet < 0x80:
                break
        if octet >= 0x80 or number >= 1 << _BITS:
            raise MalformedError("more than 64 bits")
        return (number >> 1) ^ -(number & 1), place

    def _within(self, place: int) -> int:
        if place >= self._end:
            raise MalformedError("the message ends too early")
        return place
