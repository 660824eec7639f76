"""`docs/mappings.md`: which column of a bill becomes what, from the tables of `core.bills`."""

from collections.abc import Iterable, Mapping
from dataclasses import fields

from kubecost_pipelines.core.bills import aws_cur, azure_costs, focus, gcp_export
from kubecost_pipelines.core.bills.source import Source

INTRO = """# Mappings

What the columns of each bill become in `cloud_billing`. The code runs these same tables. Where several names are given,
the first that is there counts; one of the **bold** ones must be there. A bill with FOCUS's columns is read as FOCUS,
whoever wrote it.
"""


def mappings_page() -> str:
    """Return the page."""
    return "\n".join([INTRO, *_aws(), *_gcp(), *_azure(), *_focus()])


def _aws() -> Iterable[str]:
    yield (
        "## AWS: Cost and Usage Report\n\nNames as Athena and CUR 2.0 write them; `lineItem/UsageType` of the CSV is "
        "`line_item_usage_type`.\n"
    )
    yield _sources({**aws_cur.KEYS, "charge_period_start": aws_cur.USAGE_START, **aws_cur.NUMBERS})
    yield (
        "Each cost is the sum of a measure, by line item type. `unblended` is the invoice's column, `net` the same "
        "after private discounts, `on_demand` the public price, `commitment` what a reservation or Savings Plan costs "
        "on the line, `zero` nothing.\n"
    )
    rules = {**aws_cur.RULES, "Fee of a reservation": aws_cur.RESERVATION_FEE, "any other": aws_cur.UNKNOWN_TYPE}
    names = [field.name for field in fields(aws_cur.ChargeRule) if field.name != "missing"]
    yield _table(
        ["line item type", *names], ([name, *(getattr(rule, n) for n in names)] for name, rule in rules.items())
    )


def _gcp() -> Iterable[str]:
    yield "## Google Cloud: detailed billing export\n\nNames as BigQuery has them; CSV has the same in its header.\n"
    required = (*gcp_export.REQUIRED, gcp_export.USAGE_START)
    rows = [[ours, f"**`{name}`**" if name in required else f"`{name}`"] for ours, name in gcp_export.KEYS.items()]
    yield _table(["ours", "theirs"], rows)
    yield _table(
        ["cost", "is"],
        [
            ["list_cost", "`cost_at_list`, else `cost`"],
            ["contracted_cost", "`cost`"],
            [
                "billed_cost, net_cost, invoiced_cost",
                "`cost` and all credits (`net_cost` without resource commitments)",
            ],
            ["effective_cost", "that, and the share of the fee of the commitment that covers it; 0 for the fee"],
            ["amortized_cost", "`cost`, the credits of commitments, and that share"],
        ],
    )
    yield _table(["cost_type", "charge_category"], ([f"`{a}`", b] for a, b in gcp_export.CHARGE_CATEGORIES.items()))
    words = ([column, ", ".join(f"`{word}`" for word in found), ours] for column, found, ours in gcp_export.CATEGORIES)
    yield _table(["a word in", "such as", "category (the first hit; else Other)"], words)


def _azure() -> Iterable[str]:
    yield (
        "## Azure: cost and usage details\n\nNames in lower case; of a localised `Dienst (ConsumedService)` the part "
        "in parentheses. Days are `2026-10-05` or `10/05/2026`.\n"
    )
    named = {
        "charge_period_start": azure_costs.USAGE_DATE, "billing period": azure_costs.PERIOD_START,
        "VMName, IpAddress": azure_costs.ADDITIONAL_INFO, "cost": azure_costs.COST_SOURCE,
        "list_cost (else cost)": azure_costs.LIST_SOURCE, "usage_quantity": azure_costs.QUANTITY,
    }  # fmt: skip
    yield _sources({**azure_costs.KEYS, **named})
    yield _table(
        ["a row that", "billed_cost", "effective_cost"],
        [
            ["a commitment pays for (`PricingModel` Reservation or SavingsPlan)", "0", "cost"],
            ["buys or returns a commitment", "cost", "0"],
            ["is anything else", "cost", "cost"],
        ],
    )
    yield _table(["ChargeType", "charge_category"], ([f"`{a}`", b] for a, b in azure_costs.CHARGE_CATEGORIES.items()))
    yield _table(["MeterCategory", "category (else Other)"], azure_costs.CATEGORIES.items())


def _focus() -> Iterable[str]:
    yield "## FOCUS 1.x, of any provider\n\nNames without case and underscores. Costs are taken as they are.\n"
    named = {"charge_period_start": focus.CHARGE_START, "billing period": focus.PERIOD_START, "tags": focus.TAGS}
    yield _sources({**focus.KEYS, **focus.COSTS, **named, "usage_quantity": focus.QUANTITY})
    rows = ([name, _names(cloud.service), _names(cloud.meter)] for name, cloud in focus.CLOUDS.items())
    yield _table(["provider", "its own word for the service", "and for the meter, by which `category` goes"], rows)


def _sources(sources: Mapping[str, Source]) -> str:
    return _table(["ours", "theirs"], ([ours, _names(source)] for ours, source in sources.items()))


def _names(source: Source) -> str:
    return ", ".join(f"**`{name}`**" if source.is_required else f"`{name}`" for name in source.names)


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *([str(cell if cell is not None else "–") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
