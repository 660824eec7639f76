"""Arrow types: the types of our tables, which are written as Ibis writes them, in Arrow's words.

Ibis does the same, and takes a second to import: too long for what runs once a day beside a cluster.
"""

import re

import pyarrow as pa

SIMPLE: dict[str, pa.DataType] = {
    "string": pa.string(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp('UTC', 6)": pa.timestamp("us", "UTC"),
}
_DECIMAL = re.compile(r"decimal\((\d+), (\d+)\)")
_NESTED = re.compile(r"(map|array|struct)<(.*)>")


def arrow_type(text: str) -> pa.DataType:
    """Return the Arrow type of what a table's column says, such as `map<string, string>`.

    Raises:
        ValueError: no type that our tables use.
    """
    if text in SIMPLE:
        return SIMPLE[text]
    if decimal := _DECIMAL.fullmatch(text):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    nested = _NESTED.fullmatch(text)
    match nested and nested[1]:
        case "array":
            return pa.list_(arrow_type(_parts(text)[0]))
        case "map":
            key, value = map(arrow_type, _parts(text))
            return pa.map_(key, value)
        case "struct":
            named = [part.split(": ", 1) for part in _parts(text)]
            return pa.struct([(name, arrow_type(type_)) for name, type_ in named])
    raise ValueError(f"{text!r} is no type of our tables; add it to arrow_types.py")


def _parts(text: str) -> list[str]:
    """Split what stands between the outer angle brackets at the commas of that level."""
    parts, depth = [""], 0
    for letter in text[text.index("<") + 1 : -1]:
        depth += letter in "<(" or -(letter in ">)")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
