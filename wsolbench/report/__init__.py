"""Tables, plots and galleries, generated from git-tracked results alone and never typed.

:func:`~wsolbench.report.build.write_report` writes a track's files, :func:`~wsolbench.report.build.write_summary` the
page over all tracks. They read ``results/metrics``, ``results/curves`` and ``results/thumbnails`` of exactly those runs
that ``params.yaml`` names, import no torch, and write the same bytes whenever they run again.

Data flow one way: :mod:`~wsolbench.report.run_result` and :mod:`~wsolbench.report.results` (files to dataclasses),
:mod:`~wsolbench.report.columns` (what each number is), then what is shown (:mod:`~wsolbench.report.tables`,
:mod:`~wsolbench.report.differences`, :mod:`~wsolbench.report.summary`, :mod:`~wsolbench.report.bars`,
:mod:`~wsolbench.report.curves`, :mod:`~wsolbench.report.gallery`), and :mod:`~wsolbench.report.build` writes it. No
method is ranked or called better; differences stand beside the spread of the seeds.
"""
