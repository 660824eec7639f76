"""Tags: the keys that every cloud's bills share, and FOCUS's form of them."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir


def as_json(rows: ir.Table, columns: Mapping[str, str]) -> ir.StringValue:
    """Return the tags that a row has, as a JSON object; `columns` is tag key -> column."""
    pairs: list[ir.StringValue] = [ibis.null().cast("string")]
    for key, column in columns.items():
        value = rows[column].replace("\\", "\\\\").replace('"', '\\"')
        pairs.append(f'"{key}":"' + value + '"')  # null, and left out, where there is none
    return "{" + ibis.array(pairs).join(",").fill_null("") + "}"


def read_object(text: ir.StringValue) -> ir.MapValue:
    """Return a JSON object of texts as a map; null where it is not one.

    A map, for a path of JSON would take `app.kubernetes.io/name` for a member of a member.
    """
    return text.try_cast("json").try_cast("map<string, string>")
