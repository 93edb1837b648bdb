"""The paper's tables: what was published, what our runs give, and how the two compare. No torch here."""

from lorafit.reports.paper import TABLES
from lorafit.reports.published import Column, Figure, PaperTable, Row

__all__ = ["TABLES", "Column", "Figure", "PaperTable", "Row"]
