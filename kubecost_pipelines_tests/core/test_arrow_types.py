import pytest

from kubecost_pipelines.core.arrow_types import arrow_type
from kubecost_pipelines.core.tables import TABLES, Table


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_arrow_types_are_those_that_ibis_gives(table: Table) -> None:
    assert table.arrow_schema() == table.schema().to_pyarrow()


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="'interval' is no type of our tables"):
        arrow_type("interval")
