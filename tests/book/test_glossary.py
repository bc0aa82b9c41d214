"""Every word of the glossary leads to the chapter that introduces it, and that chapter uses the word."""

import re

import pytest

# Words that a chapter uses in another form than the glossary's.
OTHER_FORMS = {"regularization": "regularize", "running statistics": "running average"}


def entries(root):
    """{word: its text} of the glossary."""
    text = (root / "book" / "glossary.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^### (.+)\n\n((?:.+\n?)+)", text, flags=re.MULTILINE))


def words(notebook):
    return " ".join(cell.source for cell in notebook.cells).replace("*", "").lower()


def test_every_word_leads_to_the_chapter_that_introduces_it(root, chapters):
    for word, text in entries(root).items():
        found = re.findall(r"Introduced in \[chapter (\d+)\]\(([\w.]+)\)\.$", text.strip())
        if not found:
            assert "api.md" in text, f"{word}: neither a chapter nor the package's page introduces it"
            continue
        ((number, name),) = found
        assert name in chapters
        assert int(name[:2]) == int(number), word
        used = [part for part in re.split(r"[\s-]+", OTHER_FORMS.get(word, word).lower()) if len(part) > 3]
        missing = [part for part in used if part.rstrip("s") not in words(chapters[name])]
        assert len(missing) < max(1, len(used)), f"{name} does not use {word!r}"


def test_every_link_inside_the_glossary_leads_to_one_of_its_words(root):
    anchors = {re.sub(r"[^\w -]", "", word).strip().lower().replace(" ", "-") for word in entries(root)}
    for word, text in entries(root).items():
        for target in re.findall(r"\]\(#([\w-]+)\)", text):
            assert target in anchors, f"{word} links to #{target}"


@pytest.mark.parametrize("page", ["index.md", "symbols.md"])
def test_the_first_page_and_the_symbols_lead_to_the_glossary(root, page):
    assert re.search(r"glossary", (root / "book" / page).read_text(encoding="utf-8"))
