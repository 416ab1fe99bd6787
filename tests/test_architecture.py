"""Who may import whom. Reads the source; nothing is executed."""

import ast
import runpy
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import salmask_plugin

PACKAGE = Path(salmask_plugin.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.is_relative_to(PACKAGE))

# room -> the other rooms it may import. A new room needs a row here, and a reason.
LEAVES = {"types", "precision", "running_statistics", "seeding", "file_names", "json_files"}
LEAVES |= {"negatives", "mixtures", "checks", "module_modes"}
STAGES = {"localizers", "masks", "fills", "filters", "losses"}
CORE = LEAVES | STAGES | {"masking", "sparse", "warm_up", "crops"}
ROOMS = {
    "types": set(),
    "precision": set(),
    "checks": set(),  # of settings that are numbers, words, yes and no; any room's
    "module_modes": set(),
    "running_statistics": set(),
    "seeding": set(),
    "file_names": set(),
    "json_files": set(),
    "negatives": {"precision", "checks"},  # what of the hard negatives is encoded, for any host
    "mixtures": {"types", "checks"},  # of mask kinds and of fills
    "filters": {"types", "precision", "checks"},
    "masks": {"types", "precision", "mixtures", "checks"},
    "fills": {"types", "precision", "filters", "mixtures", "checks"},
    "losses": {"types", "precision", "checks"},
    "localizers": LEAVES - {"mixtures", "negatives", "seeding", "running_statistics"},
    "masking": LEAVES | STAGES,
    # How an encoder does not see masked places: no stage, since it runs in the host's forward.
    "sparse": {"types", "precision", "filters"},
    # Where views are cut: boxes judged by maps of whole pictures, before there are views.
    "crops": {"types", "masks", "localizers", "checks"},
    # What the masking is until the run's own encoder can localize; any host may use it.
    "warm_up": {"masking", "localizers", "checks"},
    "released": CORE,
    "adios": CORE,
    "adapters": CORE | {"adios", "released"},
    "encoders": CORE,
}
PLUGIN = set(ROOMS)
# The laboratory, fenced: it may import the whole plugin, which imports nothing of it.
LAB = {
    "lab.errors": set(),
    "lab.durations": set(),
    "lab.long_work": {"lab.durations"},
    "lab.results": set(),
    "lab.data": set(),
    "lab.settings": {"lab.results"},
    "lab.runs": {"lab.results", "lab.data", "lab.settings"},
    "lab.downstream": {"lab.results", "lab.data", "lab.settings", "lab.runs"},
}
for later in ("probes", "embed", "measures", "cache", "study", "export"):  # each sees all before it
    LAB[f"lab.{later}"] = set(LAB)
SMALL = {"lab.errors", "lab.durations", "lab.long_work"}
ROOMS |= {room: PLUGIN | below | SMALL - {room} for room, below in LAB.items()}
ROOMS["lab.results"] = {"file_names", "json_files"}
ROOMS |= {"lab.errors": set(), "lab.durations": set(), "lab.long_work": {"lab.durations"}}
# The doors: public names that configurations and records have; their code is elsewhere.
DOORS = ("data", "evaluation", "results")
ROOMS |= dict.fromkeys(DOORS, PLUGIN | set(LAB))
ROOMS["lab"] = set()
ROOMS["cli"] = PLUGIN | set(LAB)

# guest -> the only places that may import it, at any depth of a function.
GUESTS = {
    "argparse": ("cli/",),
    "lightly": ("adapters/lightly/", "lab/"),
    "pytorch_lightning": ("adapters/lightly/", "lab/"),
    "solo": ("adapters/solo_learn/",),
    "stable_pretraining": ("adapters/stable_pretraining/",),
    "lightning": ("adapters/solo_learn/", "adapters/stable_pretraining/"),
    "hydra": ("lab/settings/", "lab/runs/", "lab/study/", "adapters/solo_learn/"),
    "omegaconf": ("lab/settings/", "lab/runs/", "adapters/solo_learn/"),
    "torchmetrics": ("adapters/", "lab/"),
    "matplotlib": ("lab/",),
    "jinja2": ("lab/results/",),
    "pydantic": ("lab/results/codec.py",),
    "tqdm": ("lab/", "adapters/"),
    "submitit": ("lab/study/",),
    "pycocotools": ("lab/data/outlines.py",),
    "timm": ("localizers/", "encoders/", "adapters/", "lab/"),
}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    return room_in(path.relative_to(PACKAGE).with_suffix("").parts)


def room_in(parts: Sequence[str]) -> str:
    """The room of a module; the lab has rooms of its own."""
    if parts[0] == "lab" and len(parts) > 1 and parts[1] != "__init__":
        return f"lab.{parts[1]}"
    return parts[0]


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything a file imports, relative imports resolved."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = ("salmask_plugin", *path.relative_to(PACKAGE).parts[: -node.level])
                base = ".".join((*parents, *filter(None, [base])))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    """Rooms of this package that a file imports; the curated surface counts as "*"."""
    rooms = set()
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "salmask_plugin" and rest:
            room = room_in(rest.split("."))
            rooms.add(room if room in ROOMS else "*")
    return rooms - {room_of(path)}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_rooms_import_only_what_lies_below_them(path):
    room = room_of(path)
    if room == "__init__":
        assert rooms_imported(path) <= CORE
        return
    assert room in ROOMS, f"{room} is a new room: give it a row in ROOMS and in docs/concepts.md"
    allowed = ROOMS[room] | ({"*"} if room.split(".")[0] in ("adapters", "cli", "lab") else set())
    assert rooms_imported(path) <= allowed


def test_rooms_form_no_cycle():
    order: list[str] = []
    remaining = dict(ROOMS)
    while remaining:
        ready = [room for room, below in remaining.items() if below <= set(order)]
        assert ready, f"cycle among {sorted(remaining)}"
        order += ready
        for room in ready:
            del remaining[room]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_guests_stay_where_they_are_received(path):
    for name in imports(path):
        allowed = GUESTS.get(name.split(".")[0])
        assert allowed is None or name_of(path).startswith(allowed), f"{name} in {name_of(path)}"


@pytest.mark.parametrize("path", [p for p in FILES if room_of(p) == "lab.results"], ids=name_of)
def test_results_need_no_torch(path):
    assert not {"torch", "torchvision"} & {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", [p for p in FILES if room_of(p) in CORE], ids=name_of)
def test_randomness_of_the_core_is_torch(path):
    source = path.read_text()
    assert "random" not in {name.split(".")[0] for name in imports(path)}
    assert source.count("np.random.") == source.count("np.random.SeedSequence")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 250


def test_masks_meet_pixels_in_one_line():
    """The fill is chosen by the mask in masking.py and nowhere else in the core."""
    lines = [
        name_of(path)
        for path in FILES
        if room_of(path) in CORE
        for line in path.read_text().splitlines()
        if "where(mask, " in line
    ]
    assert lines == ["masking.py"]


def test_importing_the_package_imports_no_guest():
    forbidden = tuple(
        guest for guest in GUESTS if guest not in ("tqdm", "argparse")
    )  # torch imports both
    code = (
        "import sys, salmask_plugin; "
        f"print([name for name in {forbidden!r} if name in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


def test_the_picture_of_the_rooms_is_that_of_the_code():
    """``python integration/architecture/picture.py`` draws it anew."""
    picture = runpy.run_path(str(ROOT / "integration" / "architecture" / "picture.py"))
    assert picture["PICTURE"].read_text(encoding="utf-8") == picture["svg"](picture["arrows"]())


def test_the_picture_refuses_a_circle():
    picture = runpy.run_path(str(ROOT / "integration" / "architecture" / "picture.py"))
    with pytest.raises(ValueError, match=r"circle among \['a', 'b'\]"):
        picture["heights"]({"a": {"b"}, "b": {"a"}, "c": set()})
