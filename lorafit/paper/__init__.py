"""The paper's tables: what was published, what our runs give, and how the two compare. No torch here."""

from lorafit.paper.published import Column, Figure, PaperTable, Row
from lorafit.paper.tables import TABLES

__all__ = ["TABLES", "Column", "Figure", "PaperTable", "Row"]
