"""Everything that defines the bytes of a run: loop, model step, optimizer, selection, prediction, costs."""
