"""Rows from files and the hub; examples as ids and targets; batches in a reproducible order.

What needs torch stands in modules of its own: batches, encode, labelled.
"""

from lorafit.data.rows import ChatRow, DocumentRow, LabelRow, RawRow, Row, TextRow
from lorafit.recipe import SPLITS, Split

__all__ = ["SPLITS", "ChatRow", "DocumentRow", "LabelRow", "RawRow", "Row", "Split", "TextRow"]
