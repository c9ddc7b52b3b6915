"""What every read-out promises, as tests, beside :mod:`wsolbench.tools.promises`."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from wsolbench.config import registry
from wsolbench.config.settings import validated_arguments
from wsolbench.models.method import Method, ReadOut
from wsolbench.search.draw import draw
from wsolbench.tools.small_networks import CLASSES, PIXELS, READOUTS, batch, build, has_width

READABLE = [name for name in registry.names("backbone", own=True) if has_width(name)]
on_every_backbone = pytest.mark.parametrize(
    ("name", "backbone"), [(name, backbone) for name in READOUTS for backbone in READABLE]
)
of_every_readout = pytest.mark.parametrize("name", READOUTS)


def read(name: str, method: Method, **arguments: Any) -> ReadOut:
    """Return a read-out of a copy of a method."""
    readout: ReadOut = registry.load("readout", name)(copy.deepcopy(method), **arguments)
    return readout.eval()


@pytest.mark.exempts("class_agnostic")
@on_every_backbone
def test_a_readout_classifies_as_its_method_and_maps_are_finite_differ_by_label_and_are_the_same_twice(
    name: str, backbone: str
) -> None:
    method = build("cam", backbone).eval()
    (images, labels), readout = batch(images=2), read(name, method)
    before = torch.get_rng_state()
    one, again, other = (readout.predict(images, each) for each in (labels, labels, (labels + 1) % CLASSES))
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(one.logits, method.predict(images, labels).logits.detach(), rtol=0, atol=0)
    assert one.maps.shape[0] == 2
    assert min(one.maps.shape[1:]) > 1
    assert torch.isfinite(one.maps).all()
    assert torch.equal(one.maps, again.maps)
    assert torch.equal(one.maps, other.maps) is readout.class_agnostic


@of_every_readout
def test_no_graph_and_no_gradient_is_kept_and_nothing_of_the_method_changes(name: str) -> None:
    method = build("adl").eval()
    readout = read(name, method)
    found = readout.predict(*batch())
    assert not found.maps.requires_grad
    assert not found.logits.requires_grad
    assert all(parameter.grad is None for parameter in readout.parameters())
    state = readout.method.state_dict()
    assert all(torch.equal(state[key], value) for key, value in method.state_dict().items())


@of_every_readout
def test_images_of_a_batch_do_not_meet(name: str) -> None:
    images, labels = batch()
    readout = read(name, build("cam").eval())
    alone = torch.cat([readout.predict(images[k : k + 1], labels[k : k + 1]).maps for k in range(len(images))])
    together = readout.predict(images, labels).maps
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5 * float(together.max()))


@of_every_readout
@pytest.mark.parametrize("method", ["acol", "adl", "spg", "has"])
def test_other_methods_are_read_too(name: str, method: str) -> None:
    found = read(name, build(method).eval()).predict(*batch(images=2))
    assert torch.isfinite(found.maps).all()
    assert found.maps.max() > 0


@of_every_readout
def test_nothing_waits_for_the_device(name: str) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):  # reading a value in Python raises
        readout = registry.load("readout", name)(build("cam").eval())
        found = readout.predict(torch.randn(2, 3, PIXELS, PIXELS), torch.zeros(2, dtype=torch.int64))
    assert found.maps.shape[0] == 2


@of_every_readout
def test_its_class_is_a_schema_and_says_what_it_is(name: str) -> None:
    component = registry.load("readout", name)
    arguments = list(inspect.signature(component).parameters.values())[1:]
    defaults = {p.name: list(p.default) if isinstance(p.default, tuple) else p.default for p in arguments}
    assert validated_arguments(component, defaults, "methods.m.args", given=1).keys() == defaults.keys()
    for argument, distribution in component.search_space.items():
        assert next(p.default for p in arguments if p.name == argument) in distribution
    for number in range(5):
        drawn = draw(component.search_space, 0, "track", name, number)
        read(name, build("cam"), **validated_arguments(component, drawn, "methods.m.args", given=1))
    assert all(component.describe().values())
    assert all(f"{each}:" in inspect.getdoc(component) for each in inspect.signature(component).parameters)
