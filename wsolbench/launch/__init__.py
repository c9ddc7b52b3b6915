"""Run what is out of date in DVC's graph on several workers at once."""
