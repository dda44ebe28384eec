"""Rules of the code base, read off the syntax trees: which way imports point, and what never occurs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Imports point up in this list, or stay in one line of it. Components stand above the configuration: none sees it.
LAYERS = (
    ("errors", "registry", "seeding"),
    ("system",),
    ("metrics", "pairwise"),
    ("constraints", "data", "learners", "losses", "samplers"),
    ("distributed", "testing"),
    ("config",),
    ("training",),
    ("run_files",),
    ("run", "preparing", "reporting", "sweeping"),
    ("commands",),
    ("__main__", "__init__"),
)
TABLES = ("constraints", "data", "learners", "losses", "samplers")  # packages that hold a table of names

UTILS = sorted((ROOT / "utils").rglob("*.py"))
MODELS = sorted((ROOT / "models").rglob("*.py"))
SCRIPTS = [path for name in ("main", "prepare", "sweep", "report", "predict") if (path := ROOT / f"{name}.py").exists()]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SOURCES = [*UTILS, *MODELS, *SCRIPTS]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def at(path: Path, node: ast.expr | ast.stmt | ast.keyword) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def absolute_imports(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """Yield the top-level package of every absolute import, those inside functions too."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], node
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node


def relative_imports(path: Path, *, package: Path) -> Iterator[tuple[tuple[str, ...], ast.stmt]]:
    """Yield every relative import as the parts of its path inside ``package``."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            folder = path.parents[node.level - 1].relative_to(package).parts  # ValueError: points outside
            if node.module:
                yield (*folder, *node.module.split(".")), node
            else:
                yield from (((*folder, alias.name), node) for alias in node.names)


def unit_of(path: Path) -> str:
    """The name by which a file of utils/ stands in LAYERS: its module, or the folder it lies in."""
    return path.relative_to(ROOT / "utils").parts[0].removesuffix(".py")


def layer_of(unit: str) -> int:
    (layer,) = (position for position, units in enumerate(LAYERS) if unit in units)
    return layer


# --- imports -----------------------------------------------------------------------------------------------


def test_every_module_of_utils_has_a_place() -> None:
    units = {unit_of(path) for path in UTILS}
    unknown = units ^ set().union(*LAYERS)
    assert not unknown, f"give {sorted(unknown)} a place in LAYERS"


def test_imports_inside_utils_are_relative() -> None:
    ours = {"utils", "rarecall", *(path.stem for path in SCRIPTS)}
    assert not [at(path, node) for path in UTILS for name, node in absolute_imports(path) if name in ours]


def test_one_module_imports_models() -> None:
    importers = {path for path in UTILS for name, _ in absolute_imports(path) if name == "models"}
    assert importers == {ROOT / "utils" / "run" / "architectures.py"}


def test_imports_of_utils_point_one_way() -> None:
    wrong = [
        f"{at(path, node)}: {unit_of(path)} imports {'.'.join(parts)}"
        for path in UTILS
        for parts, node in relative_imports(path, package=ROOT / "utils")
        if layer_of(parts[0]) > layer_of(unit_of(path))
    ]
    assert not wrong


def test_imports_of_utils_have_no_cycle() -> None:
    for whole in (True, False):  # between packages, then between modules
        graph: dict[str, set[str]] = {}
        for path in UTILS:
            module = path.relative_to(ROOT / "utils").with_suffix("").parts
            for parts, _ in relative_imports(path, package=ROOT / "utils"):
                importer, imported = (module[0], parts[0]) if whole else (".".join(module), ".".join(parts))
                if importer != imported:
                    graph.setdefault(importer, set()).add(imported)
        TopologicalSorter(graph).prepare()  # CycleError shows the cycle


def test_a_file_name_means_one_thing() -> None:
    """Outside the packages of components, where a class and its sampler may share a name."""
    packages = {ROOT / "utils" / name for name in TABLES}
    paths = [path for path in UTILS if path.name != "__init__.py" and path.parent not in packages]
    names = Counter(path.name for path in paths)
    assert not [name for name, count in names.items() if count > 1]
    assert len([path for path in paths if path.parent == ROOT / "utils"]) <= 4


def test_examples_import_what_the_wheel_holds() -> None:
    """Parts alone, which read the same with `rarecall` for `utils`; nothing of the commands, and no other package."""
    allowed = {"numpy", "sklearn", "torch", "utils", *sys.stdlib_module_names}
    assert not [at(path, node) for path in EXAMPLES for name, node in absolute_imports(path) if name not in allowed]
    parts = {
        line.split()[1] for path in EXAMPLES for line in path.read_text().splitlines() if line.startswith("from utils")
    }
    assert {part.split(".")[1] for part in parts} == {"constraints", "losses", "metrics", "samplers"}


def test_models_import_torch_torchvision_and_themselves_only() -> None:
    allowed = {"torch", "torchvision", *sys.stdlib_module_names}
    assert not [at(path, node) for path in MODELS for name, node in absolute_imports(path) if name not in allowed]
    for path in MODELS:
        list(relative_imports(path, package=ROOT / "models"))  # ValueError where one points outside


def test_tables_of_names_import_no_torch() -> None:
    names = [f"utils.{name}" for name in sorted(TABLES)] + ["models"]
    names += ["utils.config.settings"]
    code = f"import sys, {', '.join(names)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr


# --- what never occurs -------------------------------------------------------------------------------------


def dotted(node: ast.expr) -> str:
    """``torch.nn.init.normal_`` of an expression of that form; '' of any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def unsafe(node: ast.AST) -> bool:
    """Whether a call may run code that lies in a file."""
    if not isinstance(node, ast.Call):
        return False
    given = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
    name = dotted(node.func)
    return (
        name in {"eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
        or name.startswith(("pickle.load", "pickle.Unpickler"))
        or (name == "torch.load" and given.get("weights_only") is not True)
        or given.get("weights_only") is False
        or given.get("allow_pickle") is True
    )


GENERATORS = ("Generator", "RandomState", "SeedSequence", "PCG64", "Philox", "default_rng", "BitGenerator")
DRAWS_OF_TORCH = re.compile(
    r"torch\.(rand|randn|randint|randperm|bernoulli|multinomial|normal|poisson|rand_like|randn_like|randint_like)"
    r"|(torch\.)?nn\.init\.\w*(uniform|normal|orthogonal|sparse)_"
    r"|.*\.(uniform|normal|log_normal|random|bernoulli|exponential|geometric|cauchy)_"
)


def global_random(node: ast.AST) -> bool:
    """Whether a call draws from, or seeds, a random state that all of the process shares."""
    if not isinstance(node, ast.Call):
        return False
    name = dotted(node.func)
    if name.startswith(("np.random.", "numpy.random.")):
        return name.rpartition(".")[2] not in GENERATORS
    if name.startswith("random."):
        return name != "random.Random"
    if re.fullmatch(r"torch\.(\w+\.)*(manual_seed|manual_seed_all|seed|seed_all|set_rng_state\w*)", name):
        return True
    return bool(DRAWS_OF_TORCH.fullmatch(name)) and "generator" not in {word.arg for word in node.keywords}


def branches_on_training_type(node: ast.AST) -> bool:
    """``training_type == "LDAM"``, ``in ("LDAM", ...)``, ``match training_type``; ``in LOSSES`` is fine."""

    def is_training_type(side: ast.expr) -> bool:
        if isinstance(side, ast.Subscript):
            return isinstance(side.slice, ast.Constant) and side.slice.value == "training_type"
        return dotted(side).rpartition(".")[2] == "training_type"

    if isinstance(node, ast.Match):
        return is_training_type(node.subject)
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    return any(map(is_training_type, sides)) and any(
        (isinstance(side, ast.Constant) and isinstance(side.value, str))
        or isinstance(side, (ast.Tuple, ast.List, ast.Set))
        for side in sides
    )


def test_no_file_can_run_code() -> None:
    files = [*SOURCES, *EXAMPLES]
    assert not [at(path, node) for path in files for node in ast.walk(tree_of(path)) if unsafe(node)]  # type: ignore[arg-type]


def forked(tree: ast.AST) -> set[ast.AST]:
    """What stands within ``with torch.random.fork_rng(...)``, at whose end the global state is as before."""
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.With)]
    calls = {block: [item.context_expr for item in block.items] for block in blocks}
    forks = [
        block
        for block, opened in calls.items()
        if any(isinstance(call, ast.Call) and dotted(call.func) == "torch.random.fork_rng" for call in opened)
    ]
    return {node for block in forks for node in ast.walk(block)}


def test_no_global_random_state() -> None:
    for path in [*UTILS, *MODELS]:
        tree = tree_of(path)
        within = forked(tree)
        assert not [at(path, node) for node in ast.walk(tree) if node not in within and global_random(node)]  # type: ignore[arg-type]


def test_no_branch_on_the_training_type_outside_losses() -> None:
    files = [path for path in SOURCES if path.parent != ROOT / "utils" / "losses"]
    assert not [
        at(path, node)  # type: ignore[arg-type]
        for path in files
        for node in ast.walk(tree_of(path))
        if branches_on_training_type(node)
    ]


def found(code: str, rule: object) -> bool:
    assert callable(rule)
    return any(rule(node) for node in ast.walk(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "eval(x)",
        "yaml.load(f)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "np.load(f, allow_pickle=True)",
        "pickle.loads(b)",
    ],
)
def test_rule_finds_unsafe(code: str) -> None:
    assert found(code, unsafe)


@pytest.mark.parametrize(
    "code",
    [
        "np.random.seed(1)",
        "np.random.permutation(3)",
        "random.shuffle(x)",
        "torch.manual_seed(1)",
        "torch.cuda.manual_seed_all(1)",
        "torch.randperm(3)",
        "nn.init.kaiming_uniform_(w, a=1)",
        "self.weight.data.uniform_(-1, 1)",
    ],
)
def test_rule_finds_global_random_state(code: str) -> None:
    assert found(code, global_random)


@pytest.mark.parametrize(
    "code",
    [
        "if training_type == 'LDAM': pass",
        "if 'LDAM' != run.training_type: pass",
        "x = config['training_type'] in ('LDAM', 'BCE')",
        "match config.training_type:\n    case 'LDAM': pass",
    ],
)
def test_rule_finds_branches_on_the_training_type(code: str) -> None:
    assert found(code, branches_on_training_type)


@pytest.mark.parametrize(
    "code",
    [
        "model.eval()",
        "torch.load(f, map_location='cpu', weights_only=True)",
        "yaml.safe_load(f)",
        "np.random.default_rng(1).permutation(3)",
        "np.random.RandomState(1).shuffle(x)",
        "torch.randperm(3, generator=g)",
        "generator.manual_seed(3)",
        "training_type in LOSSES",
    ],
)
def test_rules_leave_the_rest_alone(code: str) -> None:
    assert not any(found(code, rule) for rule in (unsafe, global_random, branches_on_training_type))


# --- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["datasets", "checkpoint"])
def test_folders_of_files_are_no_packages(folder: str) -> None:
    """A package `datasets` here would shadow the one of that name that many environments hold."""
    assert (ROOT / folder / "README.md").exists()
    assert not (ROOT / folder / "__init__.py").exists()


def markdown_files() -> list[Path]:
    data = {ROOT / "datasets", ROOT / "checkpoint"}
    own = [path for path in ROOT.glob("*/**/*.md") if not path.relative_to(ROOT).parts[0].startswith(".")]
    return sorted(ROOT.glob("*.md")) + [
        path for path in own if not data.intersection(path.parents) or path.parent in data
    ]


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_point_to_files_that_exist(path: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]:\s*(\S+)", text, flags=re.MULTILINE)
    links = [inline or reference for inline, reference in targets]
    local = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    assert not [link for link in local if not (path.parent / link).exists()]
