"""Every documented command is taken by the command, and every relative link leads somewhere."""

import ast
import re
import shlex
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

from salmask_plugin.cli.commands import COMMANDS, FOLDERS
from salmask_plugin.cli.main import build_parser, main
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.settings.compose import CONFIGS, apply_overrides, compose_settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part == "runs" for part in page.relative_to(ROOT).parts)
)
GUIDES = [
    page for page in PAGES if page.parent in (ROOT, ROOT / "docs") and page.name != "CHANGELOG.md"
]
# Other documented commands, and why no test here runs them.
ELSEWHERE = {
    "make ": "test_readme.py asks make for the targets",
    "pip install ": "needs the package index; the extras are compared with pyproject.toml",
    "git clone ": "needs the network",
    "cd ": "belongs to the clone",
    "export ": "belongs to the clone",
    "python main_": "needs a clone of solo-learn; integration/solo_learn runs them",
    "python -m salmask_plugin.adapters.solo_learn ": "needs a clone of solo-learn",
    "python -m salmask_plugin.cli.solo_learn_record ": "needs a clone of solo-learn",
    "python integration/": "benchmarks and proofs: hours, or the real hosts",
    "python -m pytest ": "the tests themselves",
    "torchrun ": "needs two nodes of four GPUs; what it starts is composed as other lines are",
    "srun ": "needs SLURM; what it starts is composed as other lines are",
    "OMP_NUM_THREADS=1 ": "a timing script, made for an idle machine",
    "python -c ": "a timing script, made for an idle machine",
}
LAUNCHED = re.compile(r"^(torchrun|srun) .*?(-m salmask_plugin\.cli|salmask) ")
"""How several processes of one command are started."""
OWN_CHOICES = ("=checkerboard",)
"""What a page's reader has just written, and this package does not have."""
OWN_SETTINGS = {"report": ("baseline", "title", "out"), "results": ("keep", "study")}


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(text, *languages):
    """The lines of shell blocks: continued lines joined, comments and here-documents left out."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if language not in languages:
            continue
        shell = re.sub(r"<<\s*'?(\w+)'?\n.*?^\1$", "", block, flags=re.DOTALL | re.MULTILINE)
        for line in shell.replace("\\\n", " ").splitlines():
            command = re.split(r"(?:^|\s)#", line)[0].strip()
            if command:
                yield command


def salmask_lines():
    """(page, line) of every `salmask` command, in blocks and within sentences, once each."""
    seen = {}
    for page in GUIDES:
        text = page.read_text(encoding="utf-8")
        within = re.findall(
            r"(?<!`)`(salmask [^`]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.S)
        )
        shell = [LAUNCHED.sub("salmask ", line) for line in blocks(text, "bash", "")]
        lines = [*shell, *(" ".join(line.split()) for line in within)]
        for line in lines:
            # Lines with a wide gap are a table of usage.
            if line.startswith("salmask ") and not re.search(r"key=value| {3,}", line):
                seen.setdefault(re.sub(r" +", " ", line), page)
    return [(page, line) for line, page in seen.items()]


LINES = salmask_lines()


def parsed(line):
    """The options of a line; what it leaves open is filled in."""
    words = [word for word in shlex.split(line)[1:] if word not in ("...", "..")]
    if words[0].startswith("--") or "--help" in words:
        return None  # a flag of `salmask` itself, or one that ends the command
    words = ["experiment=cifar10_quick" if word == "experiment=..." else word for word in words]
    command = words[0]
    places = [word for word in words[1:] if not re.search(r"=|^-|^\d+$", word)]
    if len(words) == 1 or (command in FOLDERS and not places):
        return None  # the command's name, and a flag of it
    return build_parser().parse_args(words)


@cache
def kept():
    return compose_settings(["evaluation.tasks=[knn]"])


def completed(overrides, root):
    """Compose, with a value for what the line leaves to the reader; all of it acts."""
    try:
        settings = compose_settings(overrides, root=root)
        assert not settings.unused
        return settings
    except UserError as error:
        missing = re.findall(r"([\w.]+)=VALUE", str(error))
        if not missing:
            raise
        return compose_settings([*overrides, *(f"{key}=somewhere" for key in missing)], root=root)


@pytest.fixture
def with_photos(tmp_path, monkeypatch):
    """A place with the folders of pictures that the pages' readers have."""
    (tmp_path / "my_photos").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("with_photos")
@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{name_of(p)}: {x}" for p, x in LINES])
def test_every_salmask_line_parses_and_composes(page, line):
    options = parsed(line)
    if options is None or line.endswith(OWN_CHOICES):
        assert line.split()[1] in {*COMMANDS, "--print-completion", "--help"}
        return
    given = getattr(options, "overrides", [])
    if options.command in OWN_SETTINGS:
        assert {text.partition("=")[0] for text in given} <= set(OWN_SETTINGS[options.command])
    elif options.command == "evaluate":
        apply_overrides(kept(), given, trust=False)
    elif given:
        root = options.command if (CONFIGS / f"{options.command}.yaml").is_file() else "run"
        completed(given, root)


def test_scripts_are_shell():
    """Nothing is run; what is left to the reader ("...") is a word as any other."""
    for page in GUIDES:
        found = re.findall(r"^```bash\n(.*?)^```$", page.read_text("utf-8"), re.S | re.M)
        done = subprocess.run(
            ["bash", "-n"], input="\n".join(found), text=True, capture_output=True
        )
        assert (done.returncode, done.stderr) == (0, ""), page


def test_there_are_commands_to_try():
    assert len(LINES) > 60
    assert {line.split()[1] for _, line in LINES} <= {*COMMANDS, "--print-completion", "--help"}


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_no_other_command_is_left_untested_without_a_reason(page):
    lines = list(blocks(page.read_text(encoding="utf-8"), "bash"))
    known = ("salmask ", *ELSEWHERE)
    words = (r"[A-Z]+=", r"for ", r"done", r"\[ ", r"RUN=", r"NODE=", r"for\b")
    other = [line for line in lines if not f"{line} ".startswith(known)]
    left = [line for line in other if not re.match("|".join(words), line)]
    assert left == [], left


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_installed_exists(page):
    """The package is on no index: extras are those of a clone."""
    text = page.read_text(encoding="utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert "salmask-plugin[" not in text
    for names in re.findall(r"pip install ['\"]\.[/\w]*\[([\w,]+)\]", text):
        assert set(names.split(",")) <= set(extras)


def test_no_message_names_an_index_that_has_not_got_the_package():
    for source in (ROOT / "salmask_plugin").rglob("*.py"):
        assert "salmask-plugin[" not in source.read_text(encoding="utf-8"), source


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def anchors(page):
    """The names that a page's headings have as targets of links."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def test_the_page_of_the_command_lists_every_command():
    (usage,) = re.findall(
        r"^```\n(salmask .*?)^```", (ROOT / "docs/command.md").read_text(), re.S | re.M
    )
    assert [line.split()[1] for line in usage.splitlines()] == list(COMMANDS)


def reached(module, seen):
    """Names of all modules that importing one of ours imports at its top level."""
    path = ROOT / (module.replace(".", "/") + ".py")
    path = path if path.is_file() else ROOT / module.replace(".", "/") / "__init__.py"
    if module in seen or not path.is_file():
        return seen
    seen.add(module)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.startswith("salmask_plugin"):
                reached(name, seen)
            else:
                seen.add(name.split(".")[0])
    return seen


@pytest.mark.parametrize("command", ["report", "results"])
def test_reports_need_no_host(command):
    """docs/solo_learn.md ends with a report, in an environment without lightly."""
    seen = reached(f"salmask_plugin.cli.{command}", set())
    assert "salmask_plugin.lab.results.store" in seen
    assert not seen & {"lightly", "pytorch_lightning", "solo", "lightning", "hydra", "timm"}


@pytest.mark.slow
def test_the_first_hour_runs_as_it_is_written(tmp_path, monkeypatch, capsys):
    """On 20 drawn pictures; what the page says is printed, is, but for numbers and "…"."""
    make_photos(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    page = (ROOT / "docs/first_hour.md").read_text(encoding="utf-8")
    printed = None
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        if language == "text":
            for line in filter(str.strip, block.splitlines()):
                number = r"\\d[\\d.,]*"
                pattern = re.sub(r"\d[\d.,]*", number, re.escape(line).replace("…", ".*"))
                assert re.search(f"^{pattern}$", printed, re.MULTILINE), (line, printed)
            continue
        printed = ""
        if language == "python":
            exec(compile(block, "docs/first_hour.md", "exec"), {})
        for line in blocks(f"```bash\n{block}```", "bash") if language == "bash" else ():
            assert main(shlex.split(line)[1:]) == 0, line
        printed = "".join(capsys.readouterr())
    assert printed is not None


def make_photos(folder):
    """Twenty drawn pictures, and twelve of them again in two folders."""
    from salmask_plugin.lab.data import generated

    pictures = generated(train_images=20, val_images=2, classes=2, size=64).train
    for index in range(20):
        picture, label = pictures[index]
        places = [folder / "my_photos"]
        places += [folder / "labelled" / ("dog", "parachute")[label]] if index < 12 else []
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            picture.save(place / f"{index}.jpg")


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "salmask doctor",
        "salmask explain masking=highpass",
        "salmask explain masking=mean masking.negative=null",
        "salmask audit --images 4 data=generated data.val_images=8 localizer=uniform out=OUT",
        "salmask preview PICTURES localizer=center masking=mean out=OUT",
    ],
)
def test_short_commands_run(line, tmp_path, capsys):
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (64, 48), "red").save(tmp_path / "pictures" / "one.png")
    words = line.replace("OUT", str(tmp_path / "out")).replace(
        "PICTURES", str(tmp_path / "pictures")
    )
    assert main(shlex.split(words)[1:]) == 0
    assert capsys.readouterr().out
