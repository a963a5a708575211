from __future__ import annotations

from rehearsal.in_process import CMS_FILE
from runtime.tabular.data.schema import CMS, DMEPOS, PART_B, PART_D


def test_the_cms_schema_has_50_different_columns_with_the_label_first() -> None:
    assert len(set(CMS.columns)) == len(CMS.columns) == 50
    assert CMS.columns[:2] == ("fraudulent_provider", "female")


def test_the_order_of_the_statistics_differs_between_the_tables() -> None:
    """The file's own quirk: the deviation leads in DMEPOS and closes in Parts B and D."""
    assert CMS.columns[2:5] == (
        "tot_suplrs_standard_deviation",
        "tot_suplrs_mean",
        "tot_suplrs_sum",
    )
    assert CMS.columns[20:23] == (
        "bene_unique_cnt_mean",
        "bene_unique_cnt_sum",
        "bene_unique_cnt_standard_deviation",
    )
    assert CMS.columns[-1] == "bene_count_standard_deviation"
    assert 2 + 3 * len(DMEPOS + PART_B + PART_D) == 50


def test_the_columns_are_those_of_the_file() -> None:
    if CMS_FILE.exists():
        header = CMS_FILE.read_text(encoding="utf-8").splitlines()[0].split(",")
        assert tuple(header) == CMS.columns
    else:  # its names, as the public lineage has them
        assert {name.rsplit("_", 1)[-1] for name in CMS.features} == {"female", "deviation", "mean", "sum"}
