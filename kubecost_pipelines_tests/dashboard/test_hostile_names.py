"""Names that would be markup, a script or the end of a filter: the dashboard shows them as text, and filters by them.

Without the Content-Security-Policy, which would keep a script from running that the page had let in.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from kubecost_pipelines.core.tables import ASSET_COSTS
from kubecost_pipelines_tests.api.served import DAY, Server, serve, write_allocations, write_bill, write_days

pytestmark = pytest.mark.timeout(120)

NAMES = ("<img src=x onerror=alert(1)>", r"back\slash", r"a=b\"><svg onload=alert(2)>")
COSTS = {name: f"${10 + number}.00" for number, name in enumerate(NAMES)}
"""What each costs as a namespace, a label, a service and an asset."""
DAYS = "2026-10-05,2026-10-06"


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    lake = tmp_path_factory.mktemp("hostile") / "lake"
    lake.mkdir()
    costs = [(name, 10.0 + number) for number, name in enumerate(NAMES)]
    allocations = [
        {"namespace": name, "controller": "web", "pod": "web-1", "labels": {"team": name}, "cpu_cost": cost}
        for name, cost in costs
    ]
    write_allocations(lake, "one", allocations)
    write_bill(lake, ["aws", "111122223333"], [{"service_name": name, "cost": str(cost)} for name, cost in costs])
    asset = {"date": DAY, "cluster": "one", "asset_type": "Node", "currency": "USD", "labels": {}, "is_settled": True}
    assets = [{**asset, "asset_id": name, "name": name, "cost": cost, "total_cost": cost} for name, cost in costs]
    write_days(lake, ASSET_COSTS, [], assets)
    with serve(lake, has_dashboard=True) as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, base_url=server.url, bypass_csp=True)
    opened, ran = context.new_page(), list[str]()
    opened.on("dialog", lambda dialog: dialog.dismiss())
    opened.on("dialog", lambda dialog: ran.append(dialog.message))
    opened.on("pageerror", lambda error: ran.append(str(error)))
    yield opened
    made = opened.locator("main img, main svg[onload], main [onerror]").count()
    context.close()
    assert (ran, made) == ([], 0)


def row(page: Page, name: str) -> Any:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))


@pytest.mark.parametrize(
    ("view", "named", "below"),
    [
        ({"view": "workloads", "group": "namespace"}, "{}", "web"),
        ({"view": "workloads", "group": "label:team"}, "team={}", "{}"),
        ({"view": "cloud", "group": "service"}, "{}", "111122223333"),
    ],
)
def test_each_name_is_shown_as_it_is_and_steps_down_to_what_is_its_own(
    page: Page, view: dict[str, str], named: str, below: str
) -> None:
    for name, cost in COSTS.items():
        page.goto(f"/?{urlencode({**view, 'window': DAYS})}")
        expect(row(page, named.format(name))).to_contain_text(cost)

        row(page, named.format(name)).get_by_role("link").click()

        expect(page.get_by_role("navigation", name="Filters")).to_contain_text(name)
        expect(row(page, below.format(name))).to_contain_text(cost)
        # Itself and the total.
        expect(page.get_by_role("main").get_by_role("rowheader")).to_have_count(2)


def test_each_asset_is_shown_as_it_is_and_says_why_it_costs_that(page: Page) -> None:
    for name, cost in COSTS.items():
        page.goto(f"/?{urlencode({'view': 'assets', 'window': DAYS})}")
        expect(row(page, name)).to_contain_text(cost)

        row(page, name).get_by_role("link").click()

        expect(page.locator("h1")).to_have_text("Why this cost")
        expect(page.get_by_role("main")).to_contain_text(name)
        expect(page.get_by_role("main")).to_contain_text(cost)
