"""Protocol Buffers without their library: the fields of a message, as they lie on the wire.

The format: https://protobuf.dev/programming-guides/encoding/. The package `onnx` is only needed to train.
"""

from collections.abc import Iterator

__all__ = ["Fields", "WireReader", "whole_numbers", "wire_message"]

Fields = dict[int, list[int | memoryview]]
"""The values of a message by their field's number: numbers, and views of the bytes of all else."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class WireReader:
    """Reads messages, and stops where they have more fields than any of ours.

    Parameters
    ----------
    most_fields
        Of all messages that it reads, together.
    """

    def __init__(self, most_fields: int) -> None:
        self._left = most_fields

    def fields(self, message: memoryview) -> Fields:
        """The fields of `message`; raises `ValueError` or `IndexError` where it is none, or the fields are too many."""
        fields: Fields = {}
        for number, value in self._values(message):
            fields.setdefault(number, []).append(value)
        return fields

    def _values(self, message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        position = 0
        while position < len(message):
            self._left -= 1
            if self._left < 0:
                raise ValueError("too many fields")
            key, position = _varint(message, position)
            kind = key & 7
            if kind == _VARINT:
                value, position = _varint(message, position)
                yield key >> 3, value
                continue
            if kind == _BYTES:
                length, position = _varint(message, position)
            elif kind in (_FIXED64, _FIXED32):
                length = 8 if kind == _FIXED64 else 4
            else:
                raise ValueError("unknown wire type")
            if position + length > len(message):
                raise ValueError("a field reaches beyond its message")
            yield key >> 3, message[position : position + length]
            position += length


def whole_numbers(values: list[int | memoryview], most: int = 16) -> list[int]:
    """The numbers of a repeated field, one by one or packed; raises `ValueError` where they are over `most`."""
    numbers = []
    for value in values:
        if isinstance(value, int):
            numbers.append(value)
            continue
        position = 0
        while position < len(value) and len(numbers) <= most:
            number, position = _varint(value, position)
            numbers.append(number)
    if len(numbers) > most:
        raise ValueError("too many numbers")
    return numbers


def wire_message(fields: Fields) -> memoryview:
    """The message with these fields, which are whole numbers, texts and messages: none of a fixed length."""
    parts: list[bytes | memoryview] = []
    for number, values in fields.items():
        for value in values:
            if isinstance(value, int):
                parts += [_varint_of(number << 3 | _VARINT), _varint_of(value)]
            else:
                parts += [_varint_of(number << 3 | _BYTES), _varint_of(len(value)), value]
    return memoryview(b"".join(parts))


def _varint_of(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if not byte & 0x80:
            return value, position
        if shift > 63:
            raise ValueError("a number is too long")
