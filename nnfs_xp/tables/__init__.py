"""Tables: from a file or a frame to a trained classifier or regressor.

With the extra ``tables``: skrub, which brings pandas and scikit-learn, pyarrow and skops.
"""

from nnfs_xp.backend.importing import import_library

for _name in ("pandas", "pyarrow", "skrub", "skops"):
    import_library(_name, "pip install 'nnfs-xp[tables]'")

from nnfs_xp.reports.figures import Report  # noqa: E402
from nnfs_xp.tables.estimators import TableClassifier, TableRegressor  # noqa: E402 # after the advice
from nnfs_xp.tables.files import load_table_model, save_table_model  # noqa: E402
from nnfs_xp.tables.model import TableModel  # noqa: E402
from nnfs_xp.tables.reading import read_table  # noqa: E402
from nnfs_xp.tables.training import train_table  # noqa: E402
from nnfs_xp.tables.warning import TableWarning  # noqa: E402

__all__ = [
    "Report",
    "TableClassifier",
    "TableModel",
    "TableRegressor",
    "TableWarning",
    "load_table_model",
    "read_table",
    "save_table_model",
    "train_table",
]
