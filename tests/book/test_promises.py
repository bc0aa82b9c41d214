"""The page of promises names, for each, a test that exists."""

import re


def test_every_promise_names_a_test_that_exists(root):
    text = (root / "book" / "promises.md").read_text(encoding="utf-8")
    defined = {
        name
        for path in root.glob("tests/**/test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    promises = re.findall(r"^- .*(?:\n  .*)*", text, re.M)
    assert len(promises) >= 15
    for promise in promises:
        named = re.findall(r"`(test_\w+)`", promise)
        assert (named or "not tested" in promise) and set(named) <= defined, promise
