"""Figures: seaborn over the frame of results, each a function that returns a Matplotlib figure."""
