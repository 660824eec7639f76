import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubecost_pipelines.clusters.streaming import AnswerReader, BrokenAnswerError, TruncatedAnswerError

ANYTHING = msgspec.json.Decoder(dict[str, Any])

# Text that looks like JSON is what breaks a scanner.
text = st.text(max_size=8) | st.sampled_from(['"', "\\", '\\"', '},"x":{"name":', "}]}", "{", "]", "é", '{"name":"a"}'])
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
machine_made = st.builds(
    lambda name, rest: {"name": name, "properties": {"name": name}, "pvs": {"a": {"name": name}}, **rest},
    text,
    st.dictionaries(text, values, max_size=3),
)
items = st.dictionaries(text, machine_made | values, max_size=8) | st.dictionaries(text, machine_made, max_size=8)
others = st.dictionaries(text.filter(lambda key: key != "data"), values, max_size=2)
envelopes = st.builds(
    lambda before, data, after: {**before, "data": data, **{k: v for k, v in after.items() if k not in before}},
    others,
    items | st.lists(items, max_size=3),
    others,
)
layouts: Any = st.sampled_from([{"separators": (",", ":")}, {}, {"indent": 2}, {"indent": 1, "ensure_ascii": False}])


def read(body: bytes, chunk: int, read_ahead: int) -> tuple[dict[int, dict[str, Any]], AnswerReader[Any]]:
    reader = AnswerReader(cut(body, chunk), ANYTHING, read_ahead)
    sets: dict[int, dict[str, Any]] = {}
    for number, batch in reader.read_batches():
        sets.setdefault(number, {}).update(batch)
    return sets, reader


def cut(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


@given(envelopes, layouts, st.integers(1, 400), st.integers(1, 400))
def test_items_are_what_json_says_however_the_body_is_cut(
    envelope: dict[str, Any], layout: Any, chunk: int, read_ahead: int
) -> None:
    body = json.dumps(envelope, **layout).encode()

    sets, reader = read(body, chunk, read_ahead)

    data = envelope.pop("data")
    given_sets = [data] if isinstance(data, dict) else data
    assert sets == {number: items for number, items in enumerate(given_sets) if items}
    assert reader.fields == envelope


@given(envelopes, layouts, st.integers(1, 400), st.data())
def test_a_body_that_stops_before_its_end_is_an_error(
    envelope: dict[str, Any], layout: Any, chunk: int, data: st.DataObject
) -> None:
    body = json.dumps(envelope, **layout).encode()
    end = data.draw(st.integers(0, len(body) - 1))

    with pytest.raises(TruncatedAnswerError):
        read(body[:end], chunk, read_ahead=64)


@given(st.binary(max_size=60), st.integers(1, 60))
def test_any_bytes_are_an_answer_or_an_error(body: bytes, chunk: int) -> None:
    try:
        read(body, chunk, read_ahead=1)
    except BrokenAnswerError:
        return

    assert isinstance(json.loads(body), dict)


def machine_items(count: int) -> dict[str, Any]:
    """Items that a server writes one like the other, with objects inside that begin as the items do."""
    return {
        f"prod/node/{i}": {"name": f"prod/node/{i}", "properties": {"cluster": "prod"}, "pvs": {"v": {"name": "}"}}}
        for i in range(count)
    }


@pytest.mark.parametrize("layout", [{"separators": (",", ":")}, {"indent": 4}, {"sort_keys": True}])
def test_many_items_are_decoded_at_once(layout: Any) -> None:
    body = json.dumps({"code": 200, "data": [machine_items(5_000)]}, **layout).encode()
    reader = AnswerReader(cut(body, 4_096), ANYTHING, read_ahead_bytes=65_536)

    batches = [batch for _, batch in reader.read_batches()]

    assert sum(map(len, batches)) == 5_000
    assert len(batches) < 100


def test_memory_holds_a_part_of_the_body_only() -> None:
    item = json.dumps({"name": "a", "filler": "x" * 500})

    def body() -> Iterator[bytes]:
        yield b'{"code":200,"data":[{"0":' + item.encode()
        for i in range(1, 100_000):
            yield f',"{i}":{item}'.encode()
        yield b"}]}"

    reader = AnswerReader(body(), ANYTHING, read_ahead_bytes=10_000)

    assert max(len(batch) for _, batch in reader.read_batches()) < 50


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":{}} {}',
        b'{"data":{},}',
        b'{"data":{"a":{}} "b":{}}',
        b'{"data":[{},]}',
        b'{"data":{"a":{"b":[}]}}',
        b'{1:2,"data":{}}',
        b"[]",
        b"404 page not found",
    ],
)
def test_broken_json_is_an_error(body: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        read(body, chunk=3, read_ahead=3)


def test_an_item_of_another_type_is_an_error_of_its_own() -> None:
    decoder = msgspec.json.Decoder(dict[str, dict[str, float]])
    reader = AnswerReader([b'{"data":{"a":{"cost":"much"}}}'], decoder)

    with pytest.raises(msgspec.ValidationError):
        list(reader.read_batches())
