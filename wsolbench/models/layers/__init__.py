"""What several localization methods share."""

from wsolbench.models.detached import call_apart
from wsolbench.models.layers.class_map_head import ClassMapHead
from wsolbench.models.layers.class_map_method import ClassMapMethod
from wsolbench.models.layers.convolutions import MapConv, conv_relu, he_init, maps_of
from wsolbench.models.layers.drop_layer import DropLayer, coin, coins_from, insert_drop_layers
from wsolbench.models.layers.gradients import Reading, read_stages, stage_name
from wsolbench.models.layers.maps import min_max, upsample
from wsolbench.models.layers.points import chosen_points
from wsolbench.models.layers.spatial_drop import SpatialDrop
from wsolbench.models.layers.to_device import to_device

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
]
