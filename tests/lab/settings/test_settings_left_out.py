"""A node that leaves arguments out is the same settings as one that says their defaults."""

from pathlib import Path

import pytest

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.explain import explain

MASKING = """
localizer: ${localizer}
query:
  _target_: salmask_plugin.Masking
  sampler: {_target_: salmask_plugin.GridMask, ratio: [0.05, 0.25]}
  fill: {_target_: salmask_plugin.MeanFill}
"""
CASES = {
    "negative_encoding@method.negative_encoding": ("NegativeEncoding", "\nside: 0.5", "half_side"),
    "warm_up@method.warm_up": ("adapters.lightly.SaliencyWarmUp", "", "saliency"),
    "sampler@masking.negative.sampler": (
        "GridMask",
        "\nratio: [0.4, 0.7]\nbackground: false",
        "negative",
    ),
    "sampler@masking.query.sampler": ("BlockMask", "\nratio: [0.05, 0.25]", "block"),
    "fill@masking.query.fill": ("NoiseFill", "", "noise"),
    "crops": ("GuidedCrops", "\nlocalizer: ${localizer}", "most"),
    "masking": ("SaliencyMasking", MASKING, "random"),
}


@pytest.mark.parametrize("group", CASES)
def test_a_file_of_some_arguments_is_the_leaf_of_all(group: str, tmp_path: Path) -> None:
    target, content, leaf = CASES[group]
    folder = tmp_path / group.split("@")[0]
    folder.mkdir()
    (folder / "mine.yaml").write_text(f"_target_: salmask_plugin.{target}{content}\n")
    given = ["data=generated", "localizer=given"]
    if group == "masking":
        given[1] = "localizer=uniform"
    else:
        given.append("masking=mean")
    own = compose_settings([*given, f"{group}=mine"], config_dir=str(tmp_path))
    full = compose_settings([*(given if group != "masking" else given[:1]), f"{group}={leaf}"])
    assert own[group.split("@")[-1].split(".")[0]] == full[group.split("@")[-1].split(".")[0]]
    assert explain(own)


def test_a_node_on_the_command_line_too() -> None:
    node = "{_target_: salmask_plugin.NegativeEncoding, side: 0.5}"
    some = compose_settings(["data=generated", f"method.negative_encoding={node}"])
    leaf = "negative_encoding@method.negative_encoding=half_side"
    full = compose_settings(["data=generated", leaf])
    assert some.values == full.values
    assert explain(some) == explain(full)


def test_a_warm_up_for_learned_masks_is_refused_in_words() -> None:
    for method in ("adios_s_simclr", "supervised"):
        with pytest.raises(UserError, match="label_free_warmup brings one"):
            compose_settings(["data=generated", f"method={method}", "masking=label_free_warmup"])


def test_arguments_that_are_given_later_stay_out() -> None:
    settings = compose_settings(["data=generated", "localizer=momentum", "masking=mean"])
    assert "view_filter" not in settings.localizer  # of a partial
    assert "fast_dev_run" not in settings.trainer  # of another library
    assert not {"backbone", "seed", "query_index"} & settings.method.keys()
