"""The dashboard in Chromium, on the demo's lake, served by `dev`. Figures are worked out from the company's prices."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from kubecost_pipelines.demo.aws_bill import write_aws_bill
from kubecost_pipelines_tests.dashboard import panels
from kubecost_pipelines_tests.dashboard.running import RunningDemo, axe

pytestmark = pytest.mark.timeout(600)

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
DAYS = [YESTERDAY - timedelta(days=back) for back in range(4, -1, -1)]
SETTLED = f"{DAYS[0]},{DAYS[3]}"
"""The three settled days of five."""
RESTATED = DAYS[2]

VIEWS = {
    "Overview": "/",
    "Workloads": "/?view=workloads",
    "Assets": "/?view=assets",
    "Cloud costs": "/?view=cloud",
    "Connections": "/?view=connections",
    "Why this cost": "/?view=why&cluster=prod-eks-1&namespace=checkout",
}


def show(page: Page, path: str) -> None:
    page.goto(path)
    expect(page.locator("main h2").first).to_be_visible()
    expect(page.locator(".loading")).to_have_count(0)


def legend(page: Page, name: str) -> Any:
    return page.locator(".legend li").filter(has_text=name)


def complaints(page: Page) -> list[tuple[str, str]]:
    """Return what axe finds wrong with the page as it stands."""
    page.evaluate(axe())
    found = page.evaluate("axe.run()")
    assert len(found["passes"]) > 10
    return [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]


@pytest.mark.parametrize("title", VIEWS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_about(page: Page, title: str, theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    show(page, VIEWS[title])
    expect(page.locator("h1")).to_have_text(title)

    assert complaints(page) == []
    page.set_viewport_size({"width": 360, "height": 780})
    assert complaints(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_about_in_what_opens(page: Page, theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    show(page, "/")
    page.get_by_role("button", name="Dates…").click()
    expect(page.get_by_label("From")).to_be_visible()
    page.get_by_role("button", name="Query behind What is spent").click()
    expect(page.get_by_label("DuckDB SQL")).to_be_visible()
    found = complaints(page)

    show(page, "/?view=connections&repair=prod-eks-1")
    expect(page.get_by_role("dialog")).to_contain_text("allocations/prod-eks-1")
    found += complaints(page)
    page.set_viewport_size({"width": 360, "height": 780})
    found += complaints(page)

    assert found == []
    box = page.get_by_role("dialog").bounding_box()
    assert box
    assert box["width"] <= 360


@pytest.mark.parametrize("title", VIEWS)
def test_no_view_is_wider_than_the_screen(page: Page, title: str) -> None:
    for width, height in ((360, 780), (3840, 2160)):
        page.set_viewport_size({"width": width, "height": height})
        show(page, VIEWS[title])

        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_overview_shows_what_was_billed_and_that_nothing_is_lost(page: Page) -> None:
    show(page, f"/?window={SETTLED}")

    # A day of prod-eks-1: 19.7016 billed, and 3.024 of the node that no bill knows.
    expect(legend(page, "prod-eks-1")).to_contain_text("$68.18")
    conserved = page.get_by_role("region", name="Bills and what they were divided into")
    expect(conserved.get_by_text("none")).to_have_count(3)


def test_provisional_days_are_hatched_and_read_out_by_keyboard(page: Page) -> None:
    show(page, "/")
    chart = page.get_by_role("group", name="Cost per day by cluster")

    chart.focus()
    page.keyboard.press("ArrowLeft")

    expect(page.locator(".legend-head")).to_contain_text("provisional")
    assert chart.locator("[fill='url(#provisional)']").count() > 0


def test_a_reader_gets_from_a_namespace_to_the_row_of_the_bill(page: Page) -> None:
    show(page, f"/?view=workloads&window={SETTLED}")

    for name in ("checkout", "statefulset:orders-db"):
        page.get_by_role("rowheader", name=name, exact=True).get_by_role("link").click()
    page.get_by_role("rowheader", name=re.compile("^orders-db")).get_by_role("link").click()

    # It runs on the reserved node: 0.12 an hour, and its bill row says so.
    expect(page.locator("h1")).to_have_text("Why this cost")
    node = page.locator("details").filter(has_text="ip-10-0-1-12.ec2.internal").first
    row = node.get_by_role("row").filter(has_text="BoxUsage:m5.xlarge")
    expect(row).to_contain_text("$2.88")
    expect(node).to_contain_text("its id")


def test_a_view_is_its_address(page: Page, demo: RunningDemo) -> None:
    show(page, f"/?window={SETTLED}")
    page.get_by_role("button", name="Service", exact=True).click()
    page.get_by_role("link", name="Cloud costs").click()
    page.get_by_label("Group by").select_option("label:team")

    assert page.url == f"{demo.dashboard}/?{urlencode({'view': 'cloud', 'window': SETTLED, 'group': 'label:team'})}"
    page.go_back()
    expect(page).to_have_url(re.compile("by=service"))
    expect(page.get_by_role("button", name="Service", exact=True)).to_have_attribute("aria-pressed", "true")


def test_the_overview_saves_and_queries_what_it_shows(page: Page) -> None:
    show(page, f"/?window={SETTLED}")

    spent = panels.saved(page, "What is spent per day")
    assert panels.totals(spent, "cost", "name", "date") == about(
        panels.totals(panels.queried(page, "What is spent per day"), "cost", "name", "date")
    )
    assert panels.figure(page, "What is spent per day") == panels.money(sum(float(row["cost"]) for row in spent))

    months, asked = panels.saved(page, "How does this month"), panels.queried(page, "How does this month")
    [_, now, before, _] = months[0]
    for column, sql in ((now, "cost"), (before, "cost_before")):
        assert panels.totals(months, column, "cluster") == about(panels.totals(asked, sql, "name"))
    assert [row[now.capitalize()] for row in panels.shown(page, "How does this month")] == [
        panels.money(float(row[now])) for row in months
    ]

    bills, asked = panels.saved(page, "Is every bill"), panels.queried(page, "Is every bill")
    for column, sql in (("billed", "bill"), ("in_clusters", "in_clusters"), ("outside", "out_of_clusters")):
        assert panels.totals(bills, column, "bill") == about(panels.totals(asked, sql, "bill_of"))
    assert {row["difference"] for row in bills} == {"0"}
    assert [row["Billed"] for row in panels.shown(page, "Is every bill")] == [
        panels.money(float(row["billed"])) for row in bills
    ]


@pytest.mark.parametrize(
    ("address", "first", "second", "name"),
    [
        ("view=workloads", "What does each", "Which namespace", "namespace"),
        ("view=workloads&group=cluster&idle=hidden", "What does each", "Which cluster", "cluster"),
        ("view=workloads&group=label:team", "What does each", "Which label", "label_team"),
        (
            "view=workloads&group=pod&cluster=prod-eks-1&namespace=checkout&idle=hidden",
            "What does each",
            "Which pod",
            "pod",
        ),
        ("view=cloud", "What is billed", "Which service", "service"),
        ("view=cloud&group=accountID&metric=listCost&category=Compute", "What is billed", "Which account", "account"),
    ],
)
def test_workloads_and_cloud_costs_save_and_query_what_they_show(
    page: Page, address: str, first: str, second: str, name: str
) -> None:
    show(page, f"/?{address}&window={SETTLED}")
    total = "cost" if "view=cloud" in address else "total"

    daily, asked = panels.saved(page, first), panels.queried(page, first)
    # Kubecost names a label with its key.
    by_day = {(label.removeprefix("team="), day): cost for (label, day), cost in panels.by_day(daily).items()}
    assert by_day == about(panels.totals(asked, total, "name", "date"))
    assert panels.figure(page, first) == panels.money(sum(by_day.values()))

    rows, asked = panels.saved(page, second), panels.queried(page, second)
    by_name = {(label.removeprefix("team="),): cost for (label,), cost in panels.totals(rows, total, name).items()}
    assert by_name == about(panels.totals(asked, total, "name"))
    assert [row[total.capitalize()] for row in panels.shown(page, second)] == [
        panels.money(float(row[total])) for row in rows
    ]


def test_assets_save_and_query_what_they_show(page: Page) -> None:
    show(page, f"/?view=assets&cluster=prod-eks-1&window={SETTLED}")
    names = {"Nodes": "Node", "Disks": "Disk", "Load balancers": "LoadBalancer", "Management fees": "ClusterManagement"}

    daily, asked = panels.saved(page, "What do the"), panels.queried(page, "What do the")
    by_day = {(names.get(kind, kind), day): cost for (kind, day), cost in panels.by_day(daily).items()}
    assert by_day == about(panels.totals(asked, "total", "asset_type", "date"))
    assert panels.figure(page, "What do the") == panels.money(sum(by_day.values()))

    rows, asked = panels.saved(page, "What was each"), panels.queried(page, "What was each")
    for column in ("estimate", "adjustment", "total"):
        assert panels.totals(rows, column, "cluster", "type") == about(
            panels.totals(asked, column, "cluster", "asset_type")
        )
    assert "i-0aaaaaaaaaaaaaa12" in {row["provider_id"] for row in rows}
    assert [row["Total"] for row in panels.shown(page, "What was each")] == [
        panels.money(float(row["total"])) for row in rows
    ]


def test_why_saves_its_bill_rows_and_queries_its_containers(page: Page) -> None:
    show(page, f"/?view=why&cluster=prod-eks-1&namespace=checkout&date={DAYS[0]}")

    rows, asked = panels.saved(page, "Why does"), panels.queried(page, "Why does")

    cost = panels.money(sum(row["total_cost"] for row in asked))
    assert page.get_by_role("img", name=re.compile(f"; Cost {re.escape(cost)}$")).count() == 1
    told = [cell for one in page.locator(".reason tbody tr").all() for cell in [one.locator("td").last]]
    assert [cell.text_content() for cell in told] == [panels.money(float(row["effective"])) for row in rows]
    assert len(rows) == 7


def test_connections_save_and_query_what_they_show(page: Page) -> None:
    show(page, "/?view=connections")

    bills, asked = panels.saved(page, "Can every bill"), panels.queried(page, "Can every bill")
    assert {(row["connection"], row["status"]) for row in bills} == {
        (row["provider_key"], row["status"]) for row in asked
    }
    clusters, asked = panels.saved(page, "Is every cluster"), panels.queried(page, "Is every cluster")
    assert {row["date"] for row in clusters if row["state"] in ("settled", "provisional")} == {
        str(row["date"]) for row in asked
    }
    counted = panels.panel(page, "Is every cluster").locator(".calendar-key").first.inner_text()
    assert counted.split() == ["3", "settled", "2", "provisional"]


def about(figures: dict[Any, float]) -> Any:
    """Return figures to compare others with: the API's have nine decimals."""
    return pytest.approx(figures, abs=1e-6)


def test_an_answer_that_does_not_come_is_said_and_asked_again(page: Page) -> None:
    page.route("**/dashboard/spend*", lambda route: route.abort())
    page.goto("/")
    failed = page.get_by_role("alert").first
    expect(failed).to_contain_text("The server does not answer")

    page.unroute("**/dashboard/spend*")
    failed.get_by_role("button", name="Try again").click()

    expect(legend(page, "prod-eks-1").first).to_be_visible()


def test_what_is_known_stays_while_the_rest_is_asked_for(page: Page) -> None:
    held = list[Route]()

    def hold(route: Route) -> None:
        held.append(route)

    shown = page.locator(".panel").filter(has_text="What does each")
    page.route("**/model/allocation*", hold)
    page.goto(f"/?view=workloads&window={SETTLED}")
    expect(shown.get_by_role("status").filter(has_text="Loading")).to_be_visible()
    expect(shown).to_have_attribute("aria-busy", "true")
    while held:
        held.pop().continue_()
    page.unroute("**/model/allocation*")
    expect(legend(page, "checkout").first).to_be_visible()

    page.route("**/model/allocation*", hold)
    page.get_by_label("Group by").select_option("controller")
    expect(shown.locator(".stale")).to_contain_text("checkout")

    while held:
        held.pop().continue_()
    page.unroute("**/model/allocation*")
    expect(page.get_by_text("18 by controller")).to_be_visible()
    expect(shown.locator(".stale")).to_have_count(0)

    # As after a repair, when every figure is asked again.
    page.route("**/model/allocation*", lambda route: route.abort())
    page.evaluate("dispatchEvent(new Event('answers-forgotten'))")
    expect(shown.get_by_role("alert")).to_contain_text("Below is what was known before")
    expect(page.get_by_text("18 by controller")).to_be_visible()


def test_a_card_says_what_failed_since_when_and_the_cure(page: Page) -> None:
    def fail(route: Route) -> None:
        answer = route.fetch()
        content = answer.json()
        told = {
            "status": "FAILED_CONNECTION",
            "detail": "AccessDenied: User is not authorized to perform s3:ListBucket",
            "cure": "Let the role list the bucket.",
            "since": f"{DAYS[1]}T06:00:00Z",
        }
        next(one for one in content["data"]["connections"] if one["kind"] == "store").update(told)
        route.fulfill(response=answer, json=content)

    page.route("**/dashboard/connections*", fail)
    show(page, "/?view=connections")

    card = page.locator("article.card.bad")
    expect(card).to_contain_text("Cannot connect")
    expect(card).to_contain_text("AccessDenied: User is not authorized to perform s3:ListBucket")
    expect(card).to_contain_text("What to do Let the role list the bucket.")
    expect(card).to_contain_text(f"so since {DAYS[1].day} {DAYS[1]:%b}")
    expect(page.get_by_text("1 bill needs attention.")).to_be_visible()
    assert complaints(page) == []


def test_days_without_data_are_said_to_be_empty(page: Page) -> None:
    page.goto("/?view=workloads&window=2020-01-01,2020-01-08")

    expect(page.get_by_text("No workload in these days").first).to_be_visible()


def test_what_is_loaded_is_small(browser: Browser, demo: RunningDemo) -> None:
    sizes = list[int]()
    # Nothing is in the browser's cache.
    with browser.new_context(viewport={"width": 1440, "height": 1000}, base_url=demo.dashboard) as context:
        page = context.new_page()
        page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
        show(page, "/")

    assert 100_000 < sum(sizes) <= 400_000


def test_a_repair_from_the_browser_runs_in_dagster_and_its_result_appears(page: Page, demo: RunningDemo) -> None:
    # The database's first price of that day: 0.536 an hour, and no late credit. The lake has 0.356 and -5.00.
    before, day = f"{RESTATED},{RESTATED + timedelta(days=1)}", f"{RESTATED:%Y-%m-%d}"
    show(page, f"/?view=cloud&window={before}")
    database = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="AmazonRDS", exact=True))
    expect(database).to_contain_text("$3.54")
    write_aws_bill(demo.folder / "bills" / "cur", DAYS, version=1, restated_day=RESTATED)

    show(page, "/?view=connections")
    page.get_by_role("link", name="Repair or rebuild… shop").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("First day", exact=True).fill(day)
    dialog.get_by_label("Last day", exact=True).fill(day)
    expect(dialog).to_contain_text("cloud_billing/aws/111122223333")
    dialog.get_by_role("button", name="Repair 1 day").click()

    expect(page.get_by_label("Progress").get_by_text("Done")).to_be_visible(timeout=240_000)
    page.goto(f"/?view=cloud&window={before}")
    _until(page, database, "$12.86")


def _until(page: Page, row: Any, text: str) -> None:
    """The serving store looks at the lake every half a minute."""
    for _ in range(60):
        page.reload()
        expect(row).to_be_visible()
        if text in row.inner_text():
            return
        page.wait_for_timeout(1_500)
    expect(row).to_contain_text(text)


def asked(demo: RunningDemo, path: str, **query: str) -> Any:
    with urlopen(f"{demo.dashboard}{path}?{urlencode(query)}", timeout=60) as answer:
        return json.load(answer)["data"]
