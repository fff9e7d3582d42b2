"""Figures from plain values: each function returns a `Picture`, drawn only when it is asked for as SVG or PNG."""

from hrmsearch.report.figures.picture import Picture as Picture
