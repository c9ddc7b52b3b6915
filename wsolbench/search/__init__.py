"""Hyper-parameter search on `val`, under an equal budget for all methods.

Nothing is imported here: the report reads :mod:`wsolbench.search.record` without torch.
"""
