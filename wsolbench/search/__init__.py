"""Hyper-parameter search on ``val``, under an equal budget for all methods: plan, draw, run, record, apply.

Nothing is imported here: the report reads :mod:`wsolbench.search.record` without torch.
"""
