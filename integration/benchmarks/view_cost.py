"""What two views of MoCo v2 cost: ours for the device, lightly's on PIL, kornia's modules, in turn.

    python integration/benchmarks/view_cost.py --out bench
    python integration/benchmarks/view_cost.py --device cuda --out bench
    python integration/benchmarks/view_cost.py --from-json bench/view_cost.json --write-docs

The three take turns on the same pictures, which lie in memory: nothing is read or decoded. On a CPU
one thread, processor seconds; with ``--device cuda`` wall-clock, lightly's still on one CPU core.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import kornia.augmentation as K
import torch
from bench_clock import Work, ratios, take_turns
from bench_tables import DOCS, write_between
from lightly.transforms import MoCoV2Transform
from step_time import machine
from torch import Tensor, nn
from torchvision.transforms.functional import to_pil_image

from salmask_plugin.lab.data import DeviceViews, PictureBatch, ViewRecipe
from salmask_plugin.lab.data.device.decoded import KeptPictures
from salmask_plugin.lab.data.device.lightly_recipe import recipe_of

OURS, LIGHTLY, KORNIA = "ours", "lightly on PIL", "kornia's modules"
SIZES = ((32, 32, 128), (48, 64, 128), (96, 128, 64), (224, 256, 32))
"""Side of the views, side of the pictures, pictures in a batch."""
WANTED = {LIGHTLY: {96: 2.0}, KORNIA: {}}
"""How many times as many pictures as the other; 1 where nothing is said."""
BEGIN, END = "<!-- views: begin -->", "<!-- views: end -->"


def pictures_of(number: int, side: int) -> Tensor:
    """Smooth random pictures with some noise, uint8 (number, 3, side, side)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(number, 3, 8, 8, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=side, mode="bicubic")
    noise = 0.1 * torch.rand(number, 3, side, side, generator=generator)
    return ((smooth + noise).clamp(0, 1) * 255).to(torch.uint8)


def kornia_modules(recipe: ViewRecipe) -> nn.Module:
    """The recipe's operations as kornia's stock modules, blur as wide as PIL's at most is."""
    jitter = K.ColorJitter(
        recipe.brightness,
        recipe.contrast,
        recipe.saturation,
        recipe.hue,
        p=recipe.jitter_probability,
    )
    return nn.Sequential(
        K.RandomResizedCrop((recipe.size, recipe.size), scale=recipe.scale, ratio=recipe.ratio),
        K.RandomHorizontalFlip(p=recipe.flip_probability),
        jitter,
        K.RandomGrayscale(p=recipe.grey_probability),
        K.RandomGaussianBlur((13, 13), recipe.blur_sigmas, p=recipe.blur_probability),
        K.Normalize(torch.tensor(recipe.mean), torch.tensor(recipe.std)),
    )


def works_of(size: int, pictures: Tensor, device: str) -> dict[str, Work]:
    """Name -> what makes two views of every picture."""
    transform = MoCoV2Transform(input_size=size)
    recipe = recipe_of(transform)
    number, side = len(pictures), pictures.shape[-1]
    there = pictures.to(device)
    sizes = torch.full((number, 2), float(side), device=device)
    labels = torch.zeros(number, dtype=torch.int64, device=device)
    views = DeviceViews(recipe, seed=0, count=number, kept=KeptPictures(there, sizes, labels))
    epochs = count()
    whole = PictureBatch(labels, torch.arange(number, device=device), epoch=0)
    modules = kornia_modules(recipe).to(device)
    drawn = [to_pil_image(picture) for picture in pictures]
    return {
        OURS: lambda: views(whole._replace(epoch=next(epochs))),
        LIGHTLY: lambda: [transform(picture) for picture in drawn],
        KORNIA: lambda: [modules(there.float() / 255) for _ in range(2)],
    }


def measure(sizes: Any, device: str, rounds: int, minutes: float) -> list[dict[str, Any]]:
    """Time all three at every (view, picture, batch) within about that many minutes."""
    found = []
    for view, side, number in sizes:
        torch.manual_seed(0)
        works = works_of(view, pictures_of(number, side), device)
        until = time.monotonic() + 60 * minutes / len(sizes)
        with torch.no_grad():
            times = take_turns(works, device, rounds=rounds, warm_up=1, until=until)
        found.append({"view": view, "picture": side, "pictures": number, "times": times})
    return found


def tables(result: dict[str, Any]) -> str:
    """Return what was measured as Markdown."""
    where = result["machine"]
    rounds = min(len(block["times"][OURS]) for block in result["sizes"])
    names = ("python", "torch", "lightly", "torchvision", "kornia")
    versions = ", ".join(f"{n} {where['versions'][n]}" for n in names if n in where["versions"])
    lines = [
        f"Measured on {where['device']} ({where['threads']} thread"
        f"{'' if where['threads'] == 1 else 's'}, {where['clock']}); {versions}; commit "
        f"{where['commit']}. {rounds} interleaved rounds at least; medians, ratios of the same "
        "round (lowest to highest).",
        "",
        f"| views (pictures) | {OURS}, pictures/s | {LIGHTLY} | {KORNIA} | {OURS} / {LIGHTLY} | "
        f"{OURS} / {KORNIA} |",
        "|---|---|---|---|---|---|",
    ]
    for block in result["sizes"]:
        times = block["times"]
        rates = [block["pictures"] / median(times[name]) for name in (OURS, LIGHTLY, KORNIA)]
        cells = [f"{rate:,.0f}" for rate in rates]
        for other in (LIGHTLY, KORNIA):
            faster = ratios(times, other, OURS)
            wanted = WANTED[other].get(block["view"], 1.0)
            missed = "" if faster["median"] >= wanted else f" **missed: {wanted:.1f}**"
            cells.append(
                f"{faster['median']:.2f} ({faster['low']:.2f} to {faster['high']:.2f}){missed}"
            )
        lines.append(f"| {block['view']} px ({block['picture']} px) | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=["cpu", "cuda"], default=default)
    parser.add_argument("--rounds", type=int, default=9, help="at most (default 9)")
    parser.add_argument("--minutes", type=float, default=2, help="bound of the whole (default 2)")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder for the results")
    parser.add_argument("--from-json", type=Path, help="measure nothing: table of an earlier run")
    parser.add_argument("--write-docs", action="store_true", help=f"also write {DOCS.name}")
    options = parser.parse_args()
    if options.from_json is not None:
        result = json.loads(options.from_json.read_text())
    else:
        warnings.simplefilter("ignore")
        if options.device == "cpu":
            torch.set_num_threads(1)
        found = measure(SIZES, options.device, options.rounds, options.minutes)
        result = {"machine": machine(options.device), "sizes": found}
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "view_cost.json").write_text(json.dumps(result, indent=1))
        (options.out / "view_cost.md").write_text(tables(result))
    print(tables(result))
    if options.write_docs:
        write_between(tables(result), BEGIN, END)


if __name__ == "__main__":
    main()
