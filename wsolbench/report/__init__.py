"""Tables, plots and galleries, generated from git-tracked results alone and never typed.

:func:`~wsolbench.report.build.write_report` writes a track's files, :func:`~wsolbench.report.build.write_summary` the
summary over all tracks, and :func:`~wsolbench.report.page.write_page` the page that shows everything. They read the
git-tracked results of exactly those runs that ``params.yaml`` names, import no torch, and write the same bytes whenever
they run again.

Data flow one way: :mod:`~wsolbench.results.run_result` and :mod:`~wsolbench.results.load` (files to dataclasses),
:mod:`~wsolbench.report.columns` (what each number is), then what is shown (:mod:`~wsolbench.report.shown`, the cells of
a table in every output; :mod:`~wsolbench.report.tables`, :mod:`~wsolbench.report.costs`,
:mod:`~wsolbench.report.differences`, :mod:`~wsolbench.report.ranks`, :mod:`~wsolbench.report.summary`,
:mod:`~wsolbench.report.figures`, :mod:`~wsolbench.report.gallery`), and
:mod:`~wsolbench.report.build` and :mod:`~wsolbench.report.page` write it. No track ranks its methods or calls one
better; differences stand beside the spread of the seeds. Over tracks, methods have mean ranks where there are enough.
"""
