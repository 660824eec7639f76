"""Numbers of a bill that comes as text."""

import random
from decimal import ROUND_HALF_UP, Context, Decimal

import pytest
from ibis.backends.duckdb import Backend

from kubecost_pipelines.core.bills.source import Source, SourceColumns
from kubecost_pipelines.core.tables import COST

DIGITS = Context(prec=38, rounding=ROUND_HALF_UP)
EDGES = [
    "0", "-0", "+5", ".5", "5.", "1e3", "1E-5", "4.6080000000000005", "999999.9999999999994", "999999.9999999999995",
    "-999999.9999999999995", "1000000.0000000000005", "12345678901234567890.123456789012",
]  # fmt: skip


def random_costs(count: int) -> list[str]:
    chance = random.Random(3)
    return [
        chance.choice([
            repr(chance.random() * 10 ** chance.randint(-14, 12)),
            f"{chance.uniform(-2e6, 2e6):.{chance.randint(0, 16)}f}",
            f"{chance.randint(-9999, 9999)}.{chance.randint(0, 10**12 - 1):012}{chance.choice(['5', '4999', '5001'])}",
        ])
        for _ in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("is_required", [True, False])
def test_costs_are_rounded_as_python_does(engine: Backend, is_required: bool) -> None:
    costs = [*EDGES, *random_costs(2000)]
    engine.con.execute("CREATE TEMP TABLE bill AS SELECT unnest(?) AS cost", [costs])
    bill = engine.table("bill")
    number = SourceColumns(bill, str).number(Source(("cost",), COST, is_required=is_required))

    found = bill.select(cost="cost", number=number).to_pyarrow().to_pylist()

    assert len(found) == len(costs)
    for row in found:
        assert row["number"] == Decimal(row["cost"]).quantize(Decimal("1e-12"), context=DIGITS), row
