"""What precision, memory format and allocator are worth to the small encoder on a CPU.

    python integration/benchmarks/cpu_training.py [--rounds 5] [--batch 256]

Forward and backward of one view, one thread, processor seconds (user and system apart), in
turns. Each allocator has a process of its own, since its settings cannot be taken back.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys

SIZES = (32, 48)


def measured(rounds: int, batch: int) -> dict[str, tuple[float, float]]:
    """Return size, precision and format -> median user and system seconds of a step."""
    import torch

    from salmask_plugin.encoders import SmallConvNet

    torch.set_num_threads(1)
    formats = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    found: dict[str, list[tuple[float, float]]] = {}
    for turn in range(rounds + 1):
        for side in SIZES:
            for precision in ("float32", "bfloat16"):
                for name, layout in formats.items():
                    torch.manual_seed(0)
                    network = SmallConvNet().to(memory_format=layout)
                    images = torch.randn(batch, 3, side, side).contiguous(memory_format=layout)
                    before = resource.getrusage(resource.RUSAGE_SELF)
                    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                        features = network(images)
                    features.float().square().mean().backward()
                    after = resource.getrusage(resource.RUSAGE_SELF)
                    step = (after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime)
                    if turn:  # the first round warms up
                        found.setdefault(f"{side} {precision} {name}", []).append(step)
    return {
        key: tuple(statistics.median(part) for part in zip(*steps, strict=True))
        for key, steps in found.items()
    }


def main() -> None:
    """Measure under both allocators and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--here", choices=("kept", "system"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        from salmask_plugin.cli.allocator import keep_memory

        if options.here == "kept" and not keep_memory():
            sys.exit("the allocator cannot be set here: no glibc, or MALLOC_ variables are set.")
        print(json.dumps(measured(options.rounds, options.batch)))
        return
    tables = {}
    for here in ("system", "kept"):
        command = [sys.executable, __file__, "--here", here]
        command += ["--rounds", str(options.rounds), "--batch", str(options.batch)]
        found = subprocess.run(
            command, capture_output=True, text=True, check=True, env=dict(os.environ)
        )
        tables[here] = json.loads(found.stdout)
    print("| view | precision | memory format | images per processor second | kernel's share |")
    print("|---|---|---|---|---|")
    for key in tables["system"]:
        side, precision, layout = key.split()
        cells = []
        for table in tables.values():
            user, system = table[key]
            cells.append((options.batch / (user + system), system / (user + system)))
        (plain, share), (kept, share_kept) = cells
        print(
            f"| {side} px | {precision} | {layout} | {plain:.0f}; kept memory {kept:.0f} "
            f"| {share:.0%}; kept memory {share_kept:.0%} |"
        )


if __name__ == "__main__":
    main()
