"""What axe-core, which checks pages by the rules of WCAG, finds wrong with a page in a browser."""

from __future__ import annotations

from functools import cache
from importlib import resources

from playwright.sync_api import Page

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@cache
def _script() -> str:
    return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


def axe_violations(page: Page) -> list[str]:
    """Return a line for each element that breaks a rule: the rule, the element, and what axe says about it.

    The page's own policy stays in force: the script comes from the browser's debugger, not from the page.
    What fades in or out is judged where it comes to: to the rules, half-faded words are pale ones.
    """
    page.emulate_media(reduced_motion="reduce")
    page.evaluate("() => Promise.allSettled(document.getAnimations().map(({ finished }) => finished))")
    page.evaluate(_script())
    found = page.evaluate(
        "rules => axe.run({resultTypes: ['violations'], runOnly: {type: 'tag', values: rules}})", _RULES
    )
    return [
        f"{violation['id']}: {node['target']}: {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
