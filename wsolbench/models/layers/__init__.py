"""What several localization methods share."""

from wsolbench.models.detached import call_apart
from wsolbench.models.layers.bias_rate import with_bias_rate
from wsolbench.models.layers.class_map_head import ClassMapHead
from wsolbench.models.layers.class_map_method import ClassMapMethod
from wsolbench.models.layers.conv_relu import conv_relu
from wsolbench.models.layers.drop_layer import DropLayer, coin, coins_from, insert_drop_layers
from wsolbench.models.layers.gradients import Reading, read_stages, stage_name
from wsolbench.models.layers.he_init import he_init
from wsolbench.models.layers.map_conv import MapConv, maps_of
from wsolbench.models.layers.min_max import min_max
from wsolbench.models.layers.points import chosen_points
from wsolbench.models.layers.spatial_drop import SpatialDrop
from wsolbench.models.layers.to_device import to_device
from wsolbench.models.layers.upsample import upsample

__all__ = [
    "ClassMapHead",
    "ClassMapMethod",
    "DropLayer",
    "MapConv",
    "Reading",
    "SpatialDrop",
    "call_apart",
    "chosen_points",
    "coin",
    "coins_from",
    "conv_relu",
    "he_init",
    "insert_drop_layers",
    "maps_of",
    "min_max",
    "read_stages",
    "stage_name",
    "to_device",
    "upsample",
    "with_bias_rate",
]
