"""Rows of a table that are no weakly supervised methods: bounds and trivial answers, one file each."""
