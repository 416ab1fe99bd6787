"""Results: one run = one record; records become tables, figures and reports. No torch in here."""

from salmask_plugin.lab.results.comparison import compare
from salmask_plugin.lab.results.display import display_filtered, display_view
from salmask_plugin.lab.results.environment import Environment, environment
from salmask_plugin.lab.results.gallery import GalleryRow, draw_gallery
from salmask_plugin.lab.results.record import DataSet, Evaluation, RunRecord, Timing
from salmask_plugin.lab.results.report_files import ReportPaths, write_report
from salmask_plugin.lab.results.store import (
    LoadedRecords,
    RecordError,
    load_records,
    read_record,
    write_record,
)
from salmask_plugin.lab.results.table import Comparison
from salmask_plugin.lab.results.text import to_csv, to_dicts, to_latex, to_markdown

__all__ = [
    "Comparison",
    "DataSet",
    "Environment",
    "Evaluation",
    "GalleryRow",
    "LoadedRecords",
    "RecordError",
    "ReportPaths",
    "RunRecord",
    "Timing",
    "compare",
    "display_filtered",
    "display_view",
    "draw_gallery",
    "environment",
    "load_records",
    "read_record",
    "to_csv",
    "to_dicts",
    "to_latex",
    "to_markdown",
    "write_record",
    "write_report",
]
