"""What a restatement says, and that its history survives being tried again."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubecost_pipelines.core.bills.aws_lines import RESIDUAL
from kubecost_pipelines.core.bills.digest import as_digests, sum_up_days
from kubecost_pipelines.core.restatements import compare, published
from kubecost_pipelines_tests.core.tables import DAY, bill_table, rows

Charge = dict[str, Any]


def digest(charges: list[Charge]) -> str:
    return str(as_digests(sum_up_days(bill_table(charges)).to_pyarrow().to_pylist())[DAY])


def test_what_changed_is_told_per_service_and_resource_class() -> None:
    before: list[Charge] = [
        {"service_name": "EC2", "cost": "3"},
        {"service_name": "EC2", "cost": "4", "category": "Storage"},
        {"service_name": "S3", "cost": "1"},
    ]
    after: list[Charge] = [
        {"service_name": "EC2", "billed_cost": "5", "effective_cost": "2.5"},
        {"service_name": "EC2", "cost": "4", "category": "Storage"},
        {"service_name": "SQS", "cost": "0.000000000001"},
    ]

    found = rows(compare(bill_table(before), bill_table(after)))

    told = {(row["service_name"], row["category"]): row for row in found}
    assert set(told) == {("EC2", "Compute"), ("S3", "Compute"), ("SQS", "Compute")}
    ec2 = told["EC2", "Compute"]
    assert [ec2[f"billed_cost_{when}"] for when in ("before", "after", "difference")] == [3, 5, 2]
    assert ec2["effective_cost_difference"] == Decimal("-0.5")
    assert told["S3", "Compute"]["billed_cost_difference"] == -1
    assert told["SQS", "Compute"]["billed_cost_after"] == Decimal("0.000000000001")


def test_rows_that_only_moved_within_a_service_are_no_restatement() -> None:
    before: list[Charge] = [{"service_name": "EC2", "cost": "3", "resource_id": "i-1"}]
    after: list[Charge] = [{"service_name": "EC2", "cost": "3", "resource_id": "i-2"}]

    assert rows(compare(bill_table(before), bill_table(after))) == []
    assert digest(before) != digest(after)


def test_a_digest_ignores_order_threads_and_the_residual_but_not_a_duplicate() -> None:
    one: Charge = {"resource_id": "i-1", "cost": "1", "usage_quantity": 0.1 + 0.2}
    two: Charge = {"resource_id": "i-2", "cost": "2"}

    assert digest([one, two]) == digest([two, one | {"usage_quantity": 0.3}])
    assert digest([one, two]) == digest([one, two, {"charge_type": RESIDUAL, "cost": "9"}])
    assert digest([one, two]) != digest([one, two, two])
    assert digest([one]) != digest([one | {"category": None}])


def test_a_finalised_copy_has_the_same_content_and_another_invoice() -> None:
    provisional, final = digest([{"cost": "1"}]), digest([{"cost": "1", "invoice_id": "42"}])

    assert provisional.split("/")[0] == final.split("/")[0]
    assert provisional != final


def revision(number: int, before: str, after: str) -> dict[str, Any]:
    return {"revision": number, "content_before": before, "content_after": after}


def test_a_revision_whose_day_was_never_published_is_taken_back() -> None:
    first = revision(1, "a", "b")

    assert published([first], "a") == []
    assert published([first], "b") == [first]
    assert published([first, revision(2, "b", "c")], "b") == [first]


def test_a_bill_that_went_back_and_forth_keeps_its_whole_history() -> None:
    history = [revision(1, "a", "b"), revision(2, "b", "a"), revision(3, "a", "b")]

    assert published(history, "b") == history
    assert published([*history[:2], revision(3, "a", "c")], "a") == history[:2]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=12))
def test_the_history_always_leads_from_the_first_content_to_the_current_one(steps: list[tuple[str, bool]]) -> None:
    """Each step is a content that the bill takes, and whether the run dies between the history and the day."""
    current, history = "a", list[Any]()
    for content, dies in steps:
        if content == current:
            continue
        kept = published(history, current)
        history = [*kept, revision(len(kept) + 1, current, content)]
        current = current if dies else content

    path = published(history, current)

    assert [row["content_before"] for row in path] == ["a", *(row["content_after"] for row in path)][: len(path)]
    assert not path or path[-1]["content_after"] == current
    assert path or current == "a"
