"""Tables, plots and galleries, generated from git-tracked results alone and never typed.

:func:`~wsolbench.report.build.write_report` writes a track's files, :func:`~wsolbench.report.build.write_summary` the
summary over all tracks, and :func:`~wsolbench.report.page.write_page` the page that shows everything. They read the
git-tracked results of exactly those runs that ``params.yaml`` names, import no torch, and write the same bytes whenever
they run again.

Data flow one way: :mod:`wsolbench.results` reads files to two DataFrames, :class:`~wsolbench.report.track.TrackResults`
holds those of a track with their summary over seeds, tables, costs, searches, ranks and published numbers are
DataFrames of text made of them, and :mod:`~wsolbench.report.build` and :mod:`~wsolbench.report.page` write all of it,
with the figures of :mod:`wsolbench.report.figures`. No track ranks its methods or calls one better; differences stand
beside the spread of the seeds. Over tracks, methods have mean ranks where there are enough.
"""
