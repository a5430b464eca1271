"""A report: a session as a page, in one file that shows every version of it."""

from eventlog.report.writing import ReportSummary, report_pieces, write_report

__all__ = ["ReportSummary", "report_pieces", "write_report"]
