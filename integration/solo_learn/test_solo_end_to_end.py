"""solo-learn's own, unmodified scripts with our recipes. Each run is one process of ~10 s."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
import torch
from oracles import working  # below tests/, which conftest.py adds
from solo_toy import search_path

pytestmark = pytest.mark.solo

MOCO = "pretrain/imagenet-100/mocov2plus.yaml"
SIMCLR = "pretrain/imagenet-100/simclr.yaml"
LINEAR = "linear/imagenet-100/mocov2plus.yaml"
MASKED = ["+salmask=mean", "salmask.localizer=uniform", "method=salmask_mocov2plus"]
HIDE_PLUGINS = (
    "import runpy, sys\nsys.modules['hydra_plugins'] = None\n"
    "sys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
)


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.ckpt"))


def quoted(path: Path) -> str:
    """Hydra's grammar takes the '=' in a checkpoint's name only inside quotes."""
    return f"pretrained_feature_extractor='{path}'"


def test_highpass_from_pretraining_to_linear_evaluation(run, own_yaml, tmp_path):
    done = run(
        "main_pretrain.py",
        *own_yaml(MOCO),
        "+salmask=highpass",
        "salmask.localizer=uniform",
        "method=salmask_mocov2plus",
        "backbone.name=resnet18_highpass",
    )
    assert "masking is active" in done.stdout
    assert "recipe=highpass" in done.stdout
    assert "branch=query" in done.stdout
    (file,) = checkpoints(tmp_path)
    assert "highpass-s5" in file.name
    assert "highpass-s5" in str(file.parent)
    state = torch.load(file, weights_only=True)["state_dict"]
    # 11 taps and sigma 5 at 224 px, scaled to a crop of 32 px: the smallest odd kernel.
    assert state["backbone.highpass_kernel"].tolist() == pytest.approx([3.0, 5 * 32 / 224])

    evaluated = run(
        "main_linear.py", *own_yaml(LINEAR), "backbone.name=resnet18_highpass", quoted(file)
    )
    assert "val_acc1" in evaluated.stdout or evaluated.returncode == 0
    refused = run("main_linear.py", *own_yaml(LINEAR), quoted(file), fails=True)
    assert "pretrained behind a high-pass filter" in refused.stdout


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["mean", "blur", "random"])
@pytest.mark.parametrize("method", ["mocov2plus", "mocov2", "simclr"])
def test_recipes_on_solo_learns_own_yaml(run, own_yaml, tmp_path, recipe, method):
    config = SIMCLR if method == "simclr" else MOCO
    done = run(
        "main_pretrain.py",
        *own_yaml(config),
        f"+salmask={recipe}",
        "salmask.localizer=uniform",
        f"method=salmask_{method}",
    )
    assert f"recipe={recipe}" in done.stdout
    assert len(checkpoints(tmp_path / "trained_models" / f"{recipe}-s5")) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+salmask=mean"], "would be the baseline. Use method=salmask_mocov2plus"),
        (["method=salmask_mocov2plus"], "needs a salmask node"),
        (["+salmask=highpass", "method=salmask_mocov2plus"], "does not filter"),
        ([*MASKED, "+salmask.ratio=0.3"], "salmask.ratio is not a setting"),
        (["+salmask=mean", "method=salmask_byol"], "add salmask.negative=null"),
    ],
)
def test_refused_before_training(run, own_yaml, tmp_path, overrides, message):
    done = run("main_pretrain.py", *own_yaml(MOCO), *overrides, fails=True)
    assert message in done.stdout
    assert not (tmp_path / "trained_models").exists()


@pytest.mark.slow
def test_solo_learns_own_overrides_still_compose(run, own_yaml):
    done = run("main_pretrain.py", *own_yaml(SIMCLR), "method=byol", "--cfg", "job")
    assert "method: byol" in done.stdout
    assert "salmask" not in done.stdout


@pytest.mark.slow
def test_two_processes(run, own_yaml, tmp_path):
    done = run(
        "main_pretrain.py",
        *own_yaml(MOCO, devices='"02"', strategy="ddp", sync_batchnorm=False),
        *MASKED,
    )
    assert done.stdout.count("masking is active") == 1  # said by one process
    (file,) = checkpoints(tmp_path)
    # 24 images in two processes, 8 each per step: one step; a single process would make three.
    assert torch.load(file, weights_only=True)["salmask"]["batches_seen"] == 1
    arguments = json.loads((file.parent / "args.json").read_text())
    assert arguments["optimizer"]["lr"] == pytest.approx(0.3 * 16 / 256)
    linear = own_yaml(LINEAR, devices='"02"', strategy="ddp")
    run("main_linear.py", *linear, quoted(file))


@pytest.mark.slow
def test_resume_finds_only_its_own_masking(run, own_yaml, tmp_path):
    arguments = [*own_yaml(MOCO, max_epochs=2, **{"checkpoint.frequency": 1}), *MASKED]
    run("main_pretrain.py", *arguments, "+limit_train_batches=2")
    (first,) = checkpoints(tmp_path)
    seen = torch.load(first, weights_only=True)["salmask"]["batches_seen"]
    assert seen == 4
    again = run("main_pretrain.py", *arguments)
    assert "Resuming from previous checkpoint" in again.stdout
    other = run("main_pretrain.py", *arguments, "salmask.query.sampler.ratio=[0.1,0.2]")
    assert "Resuming from previous checkpoint" not in other.stdout
    refused = run(
        "main_pretrain.py",
        *arguments,
        "salmask.rho=3.0",
        f"+resume_from_checkpoint='{first}'",
        fails=True,
    )
    assert "salmask.rho (2.0 there, 3.0 here)" in refused.stdout


@pytest.mark.slow
def test_multirun_over_recipes(run, own_yaml, tmp_path):
    run(
        "main_pretrain.py",
        "--multirun",
        *own_yaml(MOCO),
        "+salmask=mean,random",
        # Hydra first composes without the sweep, where the key is not there yet: hence "++".
        "++salmask.localizer=uniform",
        "method=salmask_mocov2plus",
    )
    folders = {file.parents[2].name for file in checkpoints(tmp_path)}
    assert folders == {"mean-s5", "random-s5"}


@pytest.mark.slow
def test_wandb_offline_and_bf16(run, own_yaml, tmp_path):
    values = {"wandb.enabled": True, "precision": "bf16-mixed"}
    done = run("main_pretrain.py", *own_yaml(MOCO, **values), *MASKED, "+wandb.offline=true")
    assert "masking is active" in done.stdout
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 1
    assert len(checkpoints(tmp_path)) == 1


@pytest.mark.slow
def test_a_users_yaml_with_a_defaults_entry(run, own_yaml, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.yaml").write_text(
        "defaults:\n  - mocov2plus\n  - salmask: blur\n  - _self_\n"
        "method: salmask_mocov2\nname: mine\nsalmask: {localizer: uniform, rho: 1.5}\n"
    )
    _, folder, _, _, *overrides = own_yaml(MOCO)
    done = run(
        "main_pretrain.py",
        *("--config-path", folder, "--config-dir", str(tmp_path / "mine"), "--config-name", "mine"),
        *overrides,
    )
    assert "recipe=blur" in done.stdout
    assert "rho=1.5" in done.stdout


@pytest.mark.slow
def test_the_callback_form_without_plugin_discovery(run, own_yaml, solo_home, tmp_path):
    """``hydra_plugins`` is hidden, as where an installation is not scanned."""
    starter = tmp_path / "start.py"
    starter.write_text(HIDE_PLUGINS)
    script = str(solo_home / "main_pretrain.py")
    hidden = run(script, *own_yaml(MOCO), *MASKED, module=(str(starter),), fails=True)
    assert "masking is active" not in hidden.stdout
    done = run(
        script,
        *own_yaml(MOCO),
        *MASKED,
        "hydra.searchpath=[pkg://salmask_plugin.configs.solo_learn]",
        "+hydra.callbacks.salmask._target_="
        "salmask_plugin.adapters.solo_learn.callback.RegisterCallback",
        module=(str(starter),),
    )
    assert "masking is active" in done.stdout


KNN_RUNS = {
    "highpass": [
        *("+salmask=highpass", "salmask.localizer=uniform", "method=salmask_simclr"),
        "backbone.name=resnet18_highpass",
    ],
    "adios": [
        *("+salmask=adios_s", "salmask.num_masks=3", "salmask.width=8"),
        "method=salmask_adios_simclr",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", KNN_RUNS)
def test_knn_through_the_launcher(run, own_yaml, images, tmp_path, recipe):
    online = ["+knn_eval.enabled=true", "+knn_eval.k=3", f"+default_root_dir={tmp_path}"]
    run("main_pretrain.py", *own_yaml(SIMCLR), *KNN_RUNS[recipe], *online)
    (file,) = checkpoints(tmp_path)
    arguments = [
        *("--dataset", "custom", "--data_format", "image_folder", "--batch_size", "8"),
        *("--train_data_path", str(images / "train"), "--val_data_path", str(images / "val")),
        *("--num_workers", "0", "--pretrained_checkpoint_dir", str(file.parent)),
        *("--k", "1", "3", "--distance_function", "cosine", "--feature_type", "backbone"),
        *("--temperature", "0.07"),
    ]
    launcher = ("-m", "salmask_plugin.adapters.solo_learn")
    done = run("main_knn.py", *arguments, module=launcher)
    assert done.stdout.count("acc@1=") == 2


@pytest.mark.slow
@pytest.mark.parametrize("config", [MOCO, SIMCLR])
def test_baselines_are_bit_for_bit_those_without_the_plugin(
    run, own_yaml, solo_home, tmp_path, config
):
    starter = tmp_path / "start.py"
    starter.write_text(HIDE_PLUGINS)
    states = []
    for folder, module in (("with", ()), ("without", (str(starter),))):
        (tmp_path / folder).mkdir()
        run(
            str(solo_home / "main_pretrain.py") if module else "main_pretrain.py",
            *own_yaml(config),
            module=module,
            cwd=tmp_path / folder,
        )
        (file,) = checkpoints(tmp_path / folder)
        states.append(torch.load(file, weights_only=True)["state_dict"])
    assert list(states[0]) == list(states[1])
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


@pytest.mark.slow
def test_the_documented_comparison_gives_one_table(solo_home, images, tmp_path):
    """The commands of docs/solo_learn.md, at a small size."""
    from salmask_plugin.lab.results import load_records

    page = (Path(__file__).parents[2] / "docs" / "solo_learn.md").read_text()
    (script,) = re.findall(r"```bash\n(DATA=.*?)```", page, re.DOTALL)
    first, _, rest = script.partition("\n")
    assert first.startswith("DATA=")
    rest = rest.replace("salmask report", "python -m salmask_plugin.cli report")
    sizes = f"DATA={images} OUT={tmp_path}/out SEED=5 EPOCHS=2 BATCH=8"
    for name in ("main_pretrain.py", "main_linear.py"):
        (tmp_path / name).symlink_to(solo_home / name)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": search_path(solo_home),
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
    }
    short = rest.replace("max_epochs=10", "max_epochs=1").replace("num_workers=2", "num_workers=0")
    done = working.run(
        ["bash", "-e", "-c", f"{sizes}\n{short}"],
        cwd=tmp_path,
        env=environment,
        most=3600,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    loaded = load_records(tmp_path / "out" / "records")
    assert loaded.problems == ()
    records = {(record.method, record.recipe): record for record in loaded.records}
    rows = [(method, recipe) for method in ("mocov2plus", "simclr") for recipe in ("none", "mean")]
    assert set(records) == set(rows)
    masked = records["simclr", "mean"]
    assert masked.localizer_trained_on == "ImageNet-1k labels"
    assert all(0 < ratio < 0.3 for ratio in masked.history["mask_ratio"])
    assert len(masked.history["loss"]) == 2
    assert masked.data.train_images == 24
    assert masked.timing.pretrain_seconds > 0
    assert len({str(record.evaluations["linear"].protocol) for record in records.values()}) == 1
    assert all(f"{method} · {recipe}" in done.stdout for method, recipe in rows)
    assert "solo-learn" in (tmp_path / "out/records/report/report.md").read_text()


@pytest.mark.parametrize(
    ("config", "method", "recipe"), [(MOCO, "mocov2plus", "adios_s"), (SIMCLR, "simclr", "adios")]
)
def test_adios_from_pretraining_to_a_record(run, own_yaml, tmp_path, config, method, recipe):
    from salmask_plugin.lab.runs.solo_learn_records import record_run

    arguments = [*own_yaml(config), f"+salmask={recipe}", f"method=salmask_adios_{method}"]
    small = ["salmask.num_masks=3", "salmask.width=8", f"+default_root_dir={tmp_path}"]
    done = run("main_pretrain.py", *arguments, *small)
    assert f"recipe={recipe}" in done.stdout
    assert "masks are learned: 3" in done.stdout
    (file,) = checkpoints(tmp_path)
    assert f"{recipe}-s5" in str(file.parent)
    saved = torch.load(file, weights_only=True)
    assert saved["salmask"]["batches_seen"] == 3
    assert saved["global_step"] == 6  # two players
    assert len(saved["optimizer_states"]) == len(saved["lr_schedulers"]) == 2
    assert any(name.startswith("occluder.") for name in saved["state_dict"])

    run("main_linear.py", *own_yaml(LINEAR), quoted(file), f"+default_root_dir={tmp_path}")
    (evaluated,) = set(checkpoints(tmp_path)) - {file}
    record = record_run(file.parent, evaluated.parent)
    assert (record.method, record.recipe, record.localizer) == (method, recipe, "none")
    assert record.masking["num_masks"] == 3
    assert record.rho is None
    assert record.history["adios_penalty"][0] >= 3
    if recipe == "adios":
        assert record.history["mask_ratio"][0] == pytest.approx(1 / 3)
    assert "top1" in record.evaluations["linear"].metrics


@pytest.mark.slow
@pytest.mark.parametrize(("config", "method"), [(MOCO, "mocov2plus"), (SIMCLR, "simclr")])
def test_adios_resumes_on_two_processes(run, own_yaml, tmp_path, config, method):
    values = {"devices": '"02"', "strategy": "ddp", "max_epochs": 2, "checkpoint.frequency": 1}
    arguments = [*own_yaml(config, **values), "+salmask=adios", f"method=salmask_adios_{method}"]
    small = ["++salmask.num_masks=2", "++salmask.width=8", "auto_resume.enabled=true"]
    first = run("main_pretrain.py", *arguments, *small)
    assert first.stdout.count("masks are learned") == 1  # said by one process
    (file,) = checkpoints(tmp_path)
    # 24 images in two processes, 8 each per step: one step per epoch.
    assert torch.load(file, weights_only=True)["salmask"]["batches_seen"] == 2
    again = run("main_pretrain.py", *arguments, *small)
    assert "Resuming from previous checkpoint" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method=salmask_adios_simclr"], "`+salmask=<recipe>` with one of adios, adios_s"),
        (["+salmask=mean", "method=salmask_adios_simclr"], "places them by saliency"),
        (["+salmask=adios", "method=salmask_simclr"], "use method=salmask_adios_simclr"),
        (
            ["+salmask=adios", "method=salmask_adios_simclr", "+gradient_clip_val=1.0"],
            "Remove gradient_clip_val",
        ),
    ],
)
def test_adios_is_refused_before_training(run, own_yaml, tmp_path, overrides, message):
    done = run("main_pretrain.py", *own_yaml(SIMCLR), *overrides, fails=True)
    assert message in done.stdout
    assert not (tmp_path / "trained_models").exists()
