"""Documents say what the code says."""

from studies.settings_table import document_with_table
from tests.support.bars import ROOT


def test_the_table_of_settings_is_that_of_the_fields() -> None:
    document = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    assert document == document_with_table(document)
    assert document.count("| `symbol` |") == 1
