"""Streaming: the items of an answer, decoded while it arrives, so that memory does not grow with the day.

An answer is `{"code": 200, "data": …}` with other fields before or behind. `data` is a list of sets, one set or
null, and a set is a map from names to items. A body that stops, or that is no such answer, is an error, also when
everything up to there was fine.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

Item = TypeVar("Item")

READ_AHEAD_BYTES = 1 << 20
"""What is read before decoding: many items at once are what makes it fast. Servers send far smaller chunks."""

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SPACE = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb"[^\s,:\]}\[{\"]++")
_WHOLE_STRING = re.compile(_STRING, re.DOTALL)
_BRACKET = re.compile(_STRING + rb'|[{}\[\]"]', re.DOTALL)
_OPENING = re.compile(rb"\{\s*+" + _STRING, re.DOTALL)
_BETWEEN_ITEMS = re.compile(rb"\}\s*+,\s*+(" + _STRING + rb")\s*+:\s*+", re.DOTALL)
_BOUNDARIES_TO_TRY = 4


class BrokenAnswerError(Exception):
    """The body is not an answer of this API."""


class TruncatedAnswerError(BrokenAnswerError):
    """The body stops before its end."""


class AnswerReader(Generic[Item]):
    """Reads one answer, once.

    Args:
        chunks: the body, cut anywhere.
        decoder: decodes a map of items.
        read_ahead_bytes: how much to gather before decoding.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        decoder: msgspec.json.Decoder[dict[str, Item]],
        read_ahead_bytes: int = READ_AHEAD_BYTES,
    ) -> None:
        self._text = _Text(chunks, read_ahead_bytes)
        self._decoder = decoder
        self._opening = b""
        self._refused = b""
        self.fields: dict[str, Any] = {}
        """Every field but the items, complete once the batches are read; `data` is among them if it is no set."""
        self.has_data = False

    def read_batches(self) -> Iterator[tuple[int, dict[str, Item]]]:
        """Yield the items with the number of their set; empty sets yield nothing.

        Raises:
            BrokenAnswerError: the body is not an answer, or not all of it.
            msgspec.ValidationError: an item is not of the decoder's type.
        """
        for field in self._text.members():
            if field != "data":
                self.fields[field] = _decode(self._text.value())
                continue
            self.has_data = True
            if self._text.peek() == b"[":
                for number, _ in enumerate(self._text.elements()):
                    yield from ((number, batch) for batch in self._read_set())
            else:
                yield from ((0, batch) for batch in self._read_set())
        self._text.finish()

    def _read_set(self) -> Iterator[dict[str, Item]]:
        if self._text.peek() != b"{":
            self.fields["data"] = _decode(self._text.value())
            return
        self._text.take(b"{")
        if self._text.peek() == b"}":
            self._text.take(b"}")
            return
        while True:
            if batch := self._read_run():
                yield batch
            yield self._read_one()
            if self._text.take(b",}") == b"}":
                return

    def _read_one(self) -> dict[str, Item]:
        """Decode the next item, whose end is found by counting brackets: slow and certain."""
        key = self._text.value()
        self._text.take(b":")
        item = self._text.value()
        opening = _OPENING.match(item)
        self._opening = opening[0] if opening else b""
        return self._decode_items(b"".join((b"{", key, b":", item, b"}")))

    def _read_run(self) -> dict[str, Item]:
        """Decode all items before the last boundary in sight; return none when there is no such boundary.

        A boundary is guessed: a server writes each item with the same first field. A wrong guess leaves a bracket
        or a string open, which the decoder refuses. Then the items are read one by one until more has arrived.
        """
        text = self._text
        limit = len(text.seen)
        for _ in range(_BOUNDARIES_TO_TRY if self._opening and text.seen is not self._refused else 0):
            limit = text.seen.rfind(self._opening, text.at, limit)
            brace = text.seen.rfind(b"}", text.at, max(limit, 0))
            if brace < 0:
                break
            boundary = _BETWEEN_ITEMS.fullmatch(text.seen, brace, limit)
            if not boundary:
                continue
            try:
                items = self._decode_items(b"".join((b"{", memoryview(text.seen)[text.at : brace + 1], b"}")))
            except BrokenAnswerError:
                self._refused = text.seen
                continue
            text.at = boundary.start(1)
            return items
        return {}

    def _decode_items(self, text: bytes) -> dict[str, Item]:
        try:
            return self._decoder.decode(text)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BrokenAnswerError(f"broken JSON near byte {self._text.position}: {error}") from error


class _Text:
    """The body as far as it has arrived: `seen`, of which everything before `at` is done with."""

    def __init__(self, chunks: Iterable[bytes], read_ahead_bytes: int) -> None:
        self._chunks = iter(chunks)
        self._read_ahead_bytes = read_ahead_bytes
        self._dropped = 0
        self.seen, self.at = b"", 0

    @property
    def position(self) -> int:
        """How far into the body `at` is."""
        return self._dropped + self.at

    def more(self) -> None:
        """Read on: at least as much again as is unread, so that a giant value is not scanned a thousand times."""
        parts, size = [self.seen[self.at :]], 0
        wanted = max(self._read_ahead_bytes, len(parts[0]))
        for chunk in self._chunks:
            parts.append(chunk)
            size += len(chunk)
            if size >= wanted:
                break
        if not size:
            raise TruncatedAnswerError(f"the answer stops after {self._dropped + len(self.seen)} bytes, before its end")
        self._dropped += self.at
        self.seen, self.at = b"".join(parts), 0

    def peek(self) -> bytes:
        """Return the next byte that is not white space, and stay before it."""
        while True:
            space = _SPACE.match(self.seen, self.at)
            self.at = space.end() if space else self.at
            if self.at < len(self.seen):
                return self.seen[self.at : self.at + 1]
            self.more()

    def take(self, choices: bytes) -> bytes:
        """Consume and return the next byte, which must be one of `choices`."""
        found = self.peek()
        if found not in choices:
            raise BrokenAnswerError(f"{found!r} at byte {self.position}, where one of {choices!r} should be")
        self.at += 1
        return found

    def value(self) -> bytes:
        """Consume and return a whole value, however long."""
        self.peek()
        while (end := self._end_of_value()) is None:
            self.more()
        value, self.at = self.seen[self.at : end], end
        return value

    def members(self) -> Iterator[str]:
        """Consume an object: yield each key, and expect the caller to consume the value."""
        self.take(b"{")
        if self.peek() == b"}":
            self.take(b"}")
            return
        while True:
            key: str = _decode(self.value(), str)
            self.take(b":")
            yield key
            if self.take(b",}") == b"}":
                return

    def elements(self) -> Iterator[None]:
        """Consume a list: yield before each element, and expect the caller to consume it."""
        self.take(b"[")
        if self.peek() == b"]":
            self.take(b"]")
            return
        while True:
            yield
            if self.take(b",]") == b"]":
                return

    def finish(self) -> None:
        """Expect nothing but white space up to the end of the body."""
        try:
            found = self.peek()
        except TruncatedAnswerError:
            return
        raise BrokenAnswerError(f"{found!r} at byte {self.position}, behind the end of the answer")

    def _end_of_value(self) -> int | None:
        """Return where the value at `at` ends; None when it has not arrived."""
        first = self.seen[self.at : self.at + 1]
        if first == b'"':
            string = _WHOLE_STRING.match(self.seen, self.at)
            return string.end() if string else None
        if first in b"{[":
            return self._closing_bracket()
        scalar = _SCALAR.match(self.seen, self.at)
        if not scalar:
            raise BrokenAnswerError(f"{first!r} at byte {self.position}, where a value should be")
        return scalar.end() if scalar.end() < len(self.seen) else None

    def _closing_bracket(self) -> int | None:
        depth = 0
        for bracket in _BRACKET.finditer(self.seen, self.at):
            found = bracket[0]
            if found in (b"{", b"["):
                depth += 1
            elif found in (b"}", b"]"):
                depth -= 1
                if not depth:
                    return bracket.end()
            elif found == b'"':  # A string whose end has not arrived.
                return None
        return None


def _decode(text: bytes, type_: Any = Any) -> Any:
    try:
        return msgspec.json.decode(text, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BrokenAnswerError(f"broken JSON: {error}") from error
