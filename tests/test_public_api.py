"""The public surface, name by name. A change here is a change for users: say it in CHANGELOG.md."""

import importlib
import inspect

import pytest

SURFACE = {
    "salmask_plugin": {
        # the step
        "SaliencyMasking",
        "Masking",
        "MaskedViews",
        "step_generator",
        # where is the object
        "SCDALocalizer",
        "MomentumLocalizer",
        "CachedLocalizer",
        "UniformLocalizer",
        "CenterLocalizer",
        "GivenLocalizer",
        "MaskFunctionLocalizer",
        "BandsLocalizer",
        "PermutedLocalizer",
        # which cells go
        "foreground",
        "GridMask",
        "FocalMask",
        "MaskMixture",
        "MatchedMask",
        "TopMask",
        "SystematicMask",
        "BlockMask",
        "BackgroundMask",
        # what is shown there
        "MeanFill",
        "BlurFill",
        "NoiseFill",
        "TileFill",
        "OtherImageFill",
        "FillMixture",
        "UnseenFill",
        "visible_only",
        # where views are cut
        "GuidedCrops",
        # the whole view
        "HighPassFilter",
        # the loss
        "NegativeEncoding",
        "info_nce",
        "InfoNCELoss",
    },
    "salmask_plugin.masks": {
        "foreground",
        "GridMask",
        "FocalMask",
        "MaskMixture",
        "MatchedMask",
        "TopMask",
        "SystematicMask",
        "BlockMask",
        "BackgroundMask",
    },
    "salmask_plugin.fills": {
        "MeanFill",
        "BlurFill",
        "NoiseFill",
        "TileFill",
        "OtherImageFill",
        "FillMixture",
        "UnseenFill",
    },
    "salmask_plugin.sparse": {"visible_only"},
    "salmask_plugin.released": {"FirstNegative", "RowSortedLocalizer"},
    "salmask_plugin.losses": {
        "info_nce",
        "InfoNCELoss",
        "NegativeQueue",
        "add_hard_negatives",
        "hard_similarity",
        "join_hard_negatives",
    },
}
OBJECTS = [(module, name) for module, names in SURFACE.items() for name in sorted(names)]


@pytest.mark.parametrize("module", SURFACE)
def test_surface_is_what_the_inventory_says(module):
    exported = importlib.import_module(module).__all__
    assert set(exported) == SURFACE[module]
    assert len(exported) == len(set(exported))


def test_adapter_for_lightly_offers_its_names():
    pytest.importorskip("lightly")
    adapter = importlib.import_module("salmask_plugin.adapters.lightly")
    names = {"HardNegativeNTXentLoss", "SaliencyMaskingCallback", "MaskedMoCoV2", "MaskedSimCLR"}
    assert names <= set(adapter.__all__)


@pytest.mark.parametrize(("module", "name"), OBJECTS)
def test_public_objects_are_documented(module, name):
    thing = getattr(importlib.import_module(module), name)
    assert inspect.getdoc(thing)
    assert not inspect.getdoc(thing).startswith(f"{name}(")  # a dataclass without a docstring
    parameters = inspect.signature(thing).parameters
    if inspect.isclass(thing) and parameters:
        described = (inspect.getdoc(thing) or "") + (inspect.getdoc(thing.__init__) or "")
        points_elsewhere = "Arguments as there" in described
        missing = [p for p in parameters if f"{p}:" not in described]
        assert points_elsewhere or not missing, f"{name} does not describe {missing}"


@pytest.mark.parametrize(("module", "name"), OBJECTS)
def test_public_callables_are_annotated(module, name):
    thing = getattr(importlib.import_module(module), name)
    for parameter in inspect.signature(thing).parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty


def test_version_is_the_one_of_the_distribution():
    from importlib.metadata import version

    import salmask_plugin

    assert salmask_plugin.__version__ == version("salmask-plugin")
