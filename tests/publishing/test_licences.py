"""The licence of the text and the figures is there in full, word for word."""

from identify.vendor.licenses import LICENSES

END_OF_NOTICE = f"\n{'#' * 71}\n\n"


def test_content_licence_ends_with_the_complete_legal_code_of_cc_by(root):
    notice, legal_code = (root / "LICENSE-CONTENT").read_text(encoding="utf-8").split(END_OF_NOTICE)
    assert legal_code.strip() == dict(LICENSES)["CC-BY-4.0"].strip()
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in notice
    assert "Copyright (c)" in notice
