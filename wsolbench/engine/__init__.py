"""The one trainer; the only place that imports ``mmengine.runner``."""
