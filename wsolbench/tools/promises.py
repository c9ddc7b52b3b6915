"""What every method promises on every backbone, as tests: `wsolbench check` and the repository's own suite run them."""

from __future__ import annotations

import ast
import inspect
import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from wsolbench.config import registry
from wsolbench.config.schema import check_space, validated_arguments
from wsolbench.models.method import Method, OptimRecipe, Prediction
from wsolbench.search.draw import draw
from wsolbench.tools.small_networks import (
    CLASSES,
    METHODS,
    PIXELS,
    READOUTS,
    WITHOUT_DETERMINISTIC_KERNEL,
    Operations,
    batch,
    build,
    has_width,
    losses_and_gradients,
    same,
    side,
)

SUPPORTED = [
    (method, backbone)
    for method in METHODS
    for backbone in registry.names("backbone", own=True)
    if registry.load("method", method).unsupported(backbone, ()) is None
]
SMALL = {name for name in registry.names("backbone", own=True) if has_width(name)}
PAIRS = [pair for pair in SUPPORTED if pair[1] in SMALL]
MAY_IMPORT = {"__future__", "abc", "collections.abc", "dataclasses", "functools", "itertools", "math", "typing"}
MAY_IMPORT |= {"pydantic", "wsolbench.config.ranges", "wsolbench.errors"}
MAY_IMPORT |= {"wsolbench.models.layers", "wsolbench.models.method"}

on_every_pair = pytest.mark.parametrize(("method", "backbone"), PAIRS)
exempts = pytest.mark.exempts  # names what a method declares, itself or in its `exempt`, to promise less
of_every_method = pytest.mark.parametrize("method", METHODS)


def small(method: str, backbone: str, seed: int = 0) -> Method:
    """Build a method whose branches, too, are narrow, but on convnet, where they are as its constructor makes them."""
    parameters = inspect.signature(registry.load("method", method)).parameters
    narrow = {name: 16 for name in parameters if name.endswith("_channels") and backbone != "convnet"}
    return build(method, backbone, seed, **narrow)


def trainable(built: Method) -> list[str]:
    """Return the names of the parameters that are trained."""
    return [name for name, parameter in built.named_parameters() if parameter.requires_grad]


@on_every_pair
def test_losses_are_finite_scalars_of_the_same_names_throughout(method: str, backbone: str) -> None:
    built = small(method, backbone)
    found = [built.losses(*batch(), progress) for progress in (0.0, 0.5, 1.0)]
    assert found[0]
    assert all(loss.ndim == 0 and torch.isfinite(loss) for losses in found for loss in losses.values())
    assert [list(losses) for losses in found] == 3 * [list(found[0])]


@exempts("skips_parameters")
@on_every_pair
def test_gradient_reaches_the_first_layer_that_is_not_frozen_and_every_parameter_takes_part(
    method: str, backbone: str
) -> None:
    """From the start, unless a loss may begin late (``skips_parameters``); then at least at the end."""
    built = small(method, backbone)
    early, late = (losses_and_gradients(built, progress=progress)[1] for progress in (0.0, 1.0))
    names = trainable(built)
    assert late[names[0]].abs().sum() > 0
    assert early.keys() | late.keys() <= set(names)
    assert list(early) == list(late) == names or built.skips_parameters


@on_every_pair
def test_a_frozen_stage_stays_in_evaluation_mode_and_gets_no_gradient(method: str, backbone: str) -> None:
    built = small(method, backbone)
    network = built.backbone
    network.freeze(network.stage_names[: max(len(network.frozen), 2)])
    frozen = tuple(f"backbone.stages.{stage}." for stage in network.frozen)
    before = {name: value.clone() for name, value in built.state_dict().items() if name.startswith(frozen)}
    _, gradients, _ = losses_and_gradients(built, progress=1.0)
    assert gradients[trainable(built)[0]].abs().sum() > 0
    assert not [name for name in gradients if name.startswith(frozen)]
    assert before
    assert all(torch.equal(built.state_dict()[name], value) for name, value in before.items())


@on_every_pair
def test_every_trainable_parameter_is_in_exactly_one_group(method: str, backbone: str) -> None:
    built = small(method, backbone)
    built.backbone.freeze(built.backbone.stage_names[:1])
    groups = built.param_groups(OptimRecipe(lr=0.1, weight_decay=0.0, head_lr_mult=10.0))
    grouped = sorted(id(p) for group in groups for p in group["params"])
    assert grouped == sorted(id(p) for p in built.parameters() if p.requires_grad)
    assert all(group["lr"] > 0 for group in groups)


def answer(found: Prediction) -> Tensor:
    """Return the maps of a prediction, or its boxes."""
    return found.maps if found.boxes is None else found.boxes


@on_every_pair
def test_prediction_has_logits_of_all_classes_and_one_finite_map_or_box_per_image(method: str, backbone: str) -> None:
    images, labels = batch()
    found = small(method, backbone).eval().predict(images, labels)
    assert found.logits.shape == (len(images), CLASSES)
    assert len(answer(found)) == len(images)
    assert torch.isfinite(answer(found)).all()
    if found.boxes is None:
        assert found.maps.ndim == 3
        assert min(found.maps.shape[1:]) > 1
    else:
        assert found.boxes.shape[1:] == (4,)
        assert ((found.boxes >= 0) & (found.boxes <= 1)).all()


@exempts("class_agnostic")
@on_every_pair
def test_maps_differ_by_label_unless_declared_class_agnostic_and_logits_do_not(method: str, backbone: str) -> None:
    images, labels = batch()
    built = small(method, backbone).eval()
    one, other = built.predict(images, labels), built.predict(images, (labels + 1) % CLASSES)
    differ = (answer(one) != answer(other)).flatten(1).any(1)
    assert torch.equal(differ, torch.full_like(differ, not built.class_agnostic))
    assert torch.equal(one.logits, other.logits)


@on_every_pair
def test_evaluation_is_deterministic_and_draws_nothing(method: str, backbone: str) -> None:
    built = small(method, backbone).eval()
    before = torch.get_rng_state()
    first, second = built.predict(*batch()), built.predict(*batch())
    assert torch.equal(answer(first), answer(second))
    assert torch.equal(first.logits, second.logits)
    assert torch.equal(before, torch.get_rng_state())


@on_every_pair
def test_state_dict_carries_everything_that_prediction_needs(method: str, backbone: str) -> None:
    source, target = small(method, backbone, seed=0), small(method, backbone, seed=1)
    source.eval().on_epoch_start(0, [batch()])
    losses_and_gradients(source)  # moves the running statistics away from their start
    state = source.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    target.load_state_dict(state)
    assert torch.equal(answer(source.eval().predict(*batch())), answer(target.eval().predict(*batch())))


@on_every_pair
def test_randomness_comes_from_torch_only(method: str, backbone: str) -> None:
    built = small(method, backbone)
    python_state, numpy_state = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, first_gradients, _ = losses_and_gradients(built, seed=7)
    second, second_gradients, _ = losses_and_gradients(built, seed=7)
    assert same(first, second)
    assert same(first_gradients, second_gradients)
    assert random.getstate() == python_state
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


@on_every_pair
def test_batch_transform_keeps_shapes_and_inputs_and_draws_from_its_generator_only(method: str, backbone: str) -> None:
    built = small(method, backbone)
    images, targets = batch()
    before = torch.get_rng_state()
    results = [built.batch_transform(images, targets, torch.Generator().manual_seed(0)) for _ in range(2)]
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(images, batch()[0])
    assert torch.equal(targets, batch()[1])
    changed, labels = results[0]
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
    soft = labels.shape == (len(images), CLASSES) and labels.dtype == torch.float32
    assert soft or (labels.shape == targets.shape and labels.dtype == torch.int64)
    losses = built.losses(changed, labels, 0.5)
    assert all(torch.isfinite(loss) for loss in losses.values())


@exempts("rounding")
@on_every_pair
def test_losses_are_finite_and_near_float32_under_bfloat16(method: str, backbone: str) -> None:
    # Cells at a threshold may change sides, which moves a single loss by more than rounding does; the sum is minimised.
    exact, _, _ = losses_and_gradients(small(method, backbone))
    with torch.autocast("cpu", torch.bfloat16):
        rounded, gradients, _ = losses_and_gradients(small(method, backbone))
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    assert rounded.keys() == exact.keys()
    assert all(loss.dtype == torch.float32 for loss in rounded.values())
    tolerance = 0.2 if registry.load("method", method).exempt.rounding else 0.05
    assert float(sum(rounded.values())) == pytest.approx(float(sum(exact.values())), rel=tolerance)


@exempts("rounding")
@on_every_pair
def test_memory_format_changes_nothing_but_rounding(method: str, backbone: str) -> None:
    images, labels = batch()
    built = small(method, backbone).eval()
    contiguous = built.predict(images, labels)
    built.to(memory_format=torch.channels_last)
    strided = built.predict(images.contiguous(memory_format=torch.channels_last), labels)
    scale = float(answer(contiguous).detach().abs().max())
    tolerance = 1e-2 if built.exempt.rounding else 1e-4
    torch.testing.assert_close(answer(strided), answer(contiguous), rtol=0, atol=tolerance * scale)
    torch.testing.assert_close(strided.logits, contiguous.logits, rtol=1e-4, atol=1e-5)


@on_every_pair
def test_neither_losses_nor_prediction_wait_for_the_device(method: str, backbone: str) -> None:
    assert operations_without_values(method, backbone)


@exempts("deterministic_cuda")
@on_every_pair
def test_every_operation_has_a_deterministic_cuda_kernel(method: str, backbone: str) -> None:
    """As torch.use_deterministic_algorithms lists them; bilinear interpolation has one, by a slow way only."""
    names = operations_without_values(method, backbone)
    assert "convolution_backward" in names
    assert (
        sorted(names & WITHOUT_DETERMINISTIC_KERNEL) == [] or registry.load("method", method).exempt.deterministic_cuda
    )


@cache
def operations_without_values(method: str, backbone: str) -> set[str]:
    """Return the names of all operations of a step on fake tensors, after which a prediction is made, too.

    Reading a value in Python, or a shape that depends on one, raises.
    """
    with FakeTensorMode(allow_non_fake_inputs=True):  # a network that is outlined first makes real meta tensors
        built = small(method, backbone)
        images, labels = torch.randn(4, 3, PIXELS, PIXELS), torch.zeros(4, dtype=torch.int64)
        built.eval().on_epoch_start(0, [(images, labels)])
        built.train()
        with Operations() as seen:
            torch.stack(list(built.losses(images, labels, 0.0).values())).sum().backward()
        built.eval().predict(images, labels)
    return seen.names


@on_every_pair
def test_losses_and_maps_are_made_where_the_network_is(method: str, backbone: str) -> None:
    # A fake tensor may lie on a device that is not there; one that meets another of elsewhere raises.
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            built = small(method, backbone)
            images, labels = torch.randn(4, 3, PIXELS, PIXELS), torch.zeros(4, dtype=torch.int64)
        built.on_epoch_start(0, [(images, labels)])
        with torch.set_grad_enabled(built.needs_grad):
            found = built.predict(images, labels)
        losses = built.losses(images, labels, 0.5)
    assert {loss.device.type for loss in losses.values()} == {"cuda"}
    assert (answer(found).device.type, found.logits.device.type) == ("cuda", "cuda")


@pytest.mark.slow
@pytest.mark.parametrize(("method", "backbone"), [pair for pair in SUPPORTED if pair[1] not in SMALL])
def test_a_network_of_full_size_trains_some_steps_and_localizes(method: str, backbone: str) -> None:
    built = build(method, backbone)
    images, labels = batch(images=2, pixels=side(backbone, 96))  # 6 x 6 cells: a block of 3 x 3 leaves some
    first = dict(built.named_parameters())[trainable(built)[0]]
    before = first.detach().clone()
    sgd = torch.optim.SGD(built.param_groups(OptimRecipe(lr=1e-4, weight_decay=0.0, head_lr_mult=1.0)))
    for step in range(3):
        seen, targets = built.batch_transform(images, labels, torch.Generator().manual_seed(step))
        losses = built.train().losses(seen, targets, step / 2)
        assert all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values())
        sgd.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        sgd.step()
    assert [name for name, p in built.named_parameters() if p.requires_grad and p.grad is None] == []
    assert not torch.equal(before, first)
    with torch.no_grad():
        one, other = built.eval().predict(images, labels), built.predict(images, (labels + 1) % CLASSES)
    assert one.logits.shape == (2, CLASSES)
    assert torch.equal(one.logits, other.logits)
    assert torch.isfinite(answer(one)).all()
    assert (answer(one) != answer(other)).flatten(1).any(1).all() != built.class_agnostic


@pytest.mark.parametrize("method", [name for name in METHODS + READOUTS if name in registry.names("method", own=True)])
def test_file_imports_only_what_a_method_may(method: str) -> None:
    source = Path(inspect.getfile(registry.load(registry.kind_of(method), method))).read_text(encoding="utf-8")
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert {name for name in imported if name.split(".")[0] != "torch"} <= MAY_IMPORT


@of_every_method
def test_constructor_is_a_schema_that_accepts_its_own_defaults(method: str) -> None:
    method_class = registry.load("method", method)
    defaults = {
        name: list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default  # as YAML has it
        for name, parameter in list(inspect.signature(method_class).parameters.items())[2:]
    }
    checked = validated_arguments(method_class, defaults, f"methods.{method}.args", given=2)
    assert {name: list(value) if isinstance(value, tuple) else value for name, value in checked.items()} == defaults


@of_every_method
def test_search_space_is_over_constructor_arguments_and_holds_their_defaults(method: str) -> None:
    method_class = registry.load("method", method)
    arguments = list(inspect.signature(method_class).parameters.items())[2:]
    defaults = {name: parameter.default for name, parameter in arguments}
    assert method_class.search_space.keys() <= defaults.keys()
    for name, distribution in method_class.search_space.items():
        assert defaults[name] in distribution, name
        assert distribution.source


@of_every_method
def test_every_sample_of_the_search_space_is_accepted(method: str) -> None:
    method_class = registry.load("method", method)
    check_space(method_class, method_class.search_space, method, given=2)
    for number in range(25):
        drawn = draw(method_class.search_space, 0, "track", method, number)
        arguments = validated_arguments(method_class, drawn, f"methods.{method}.args", given=2)
        for name, distribution in method_class.search_space.items():
            assert arguments[name] in distribution, name
        build(method, next(backbone for name, backbone in PAIRS if name == method), **arguments)


@of_every_method
def test_class_says_what_it_is(method: str) -> None:
    method_class = registry.load("method", method)
    assert all(method_class.describe().values())
    assert "Paper:" in inspect.getdoc(method_class)
    for name in list(inspect.signature(method_class).parameters):
        assert f"{name}:" in inspect.getdoc(method_class), f"{name} is not documented"
