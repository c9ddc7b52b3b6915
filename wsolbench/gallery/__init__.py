"""What the gallery of the report is drawn from: small maps of each run, and small photographs of each track.

:mod:`~wsolbench.gallery.thumbnails` and :mod:`~wsolbench.gallery.photographs` are the two file formats, small enough
for git, and :mod:`~wsolbench.gallery.stage` makes the photographs. Both hold the same candidate images in the same
order; which of them are shown is the report's choice, made when all methods are known.
"""
