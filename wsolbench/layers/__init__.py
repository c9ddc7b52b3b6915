"""What several localization methods share."""

from wsolbench.layers.argument_checks import above, at_least, between, odd, together
from wsolbench.layers.bias_rate import with_bias_rate
from wsolbench.layers.class_map_head import ClassMapHead
from wsolbench.layers.class_map_method import ClassMapMethod
from wsolbench.layers.conv_relu import conv_relu
from wsolbench.layers.drop_layer import DropLayer, coin, coins_from, insert_drop_layers
from wsolbench.layers.he_init import he_init
from wsolbench.layers.min_max import min_max
from wsolbench.layers.points import chosen_points
from wsolbench.layers.sent_to import sent_to
from wsolbench.layers.spatial_drop import SpatialDrop
from wsolbench.layers.upsample import upsample

__all__ = [
    "ClassMapHead",
    "ClassMapMethod",
    "DropLayer",
    "SpatialDrop",
    "above",
    "at_least",
    "between",
    "chosen_points",
    "coin",
    "coins_from",
    "conv_relu",
    "he_init",
    "insert_drop_layers",
    "min_max",
    "odd",
    "sent_to",
    "together",
    "upsample",
    "with_bias_rate",
]
