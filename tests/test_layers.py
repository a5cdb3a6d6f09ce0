"""The packages of ``src`` import one way only: from a higher level to a lower one."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# From the ground up. Packages of one row do not know each other; scripts are imported by nobody.
LEVELS = (
    ("i18n",),
    ("core",),
    ("media", "audio", "models", "plotting"),
    ("faces",),
    ("preprocessing", "conditions"),
    ("dataset", "scoring"),
    ("checkpoints", "correction", "report"),
    ("presenter",),
    ("evaluation", "pipeline"),
    ("training", "live"),
    ("cleaning",),
    ("web",),
    ("service",),
)
LEVEL = {package: level for level, row in enumerate(LEVELS) for package in row}
# Slow to import: packages may import these, and nothing else, inside a function.
SLOW_LIBRARIES = {
    "av", "c2pa", "cryptography", "cv2", "dask", "dask_jobqueue", "distributed", "espeakng_loader",
    "face_alignment", "fsspec", "imageio_ffmpeg",
    "jinja2", "librosa", "matplotlib", "onnx", "onnxruntime", "opentimelineio", "PIL", "piper",
    "retinaface",
    "scenedetect", "scipy", "silero_vad", "sklearn", "soxr", "swanlab", "tensorboard", "torch",
    "torchaudio",
    "torchvision", "tqdm", "wandb",
}  # fmt: skip


def imports_of(code: str, module: str) -> list[tuple[int, str, bool]]:
    """(line, imported module, whether inside a function) for each import of project modules.

    Args:
        module: dotted name below ``src``, such as ``scoring.drift``.
    """
    found = []
    tree = ast.parse(code)
    top = set(map(id, ast.walk(ast.Module([], [])))) | {
        id(node) for statement in tree.body if not _is_scope(statement) for node in
        ast.walk(statement)
    }  # fmt: skip
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.level:
            base = module.split(".")[: -node.level]
            rest = node.module.split(".") if node.module else []
            names = [[*base, *rest]] if rest else [[*base, alias.name] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".")
            if parts[0] in ("src", "lipsync"):
                names = [parts[1:]] if parts[1:] else [[alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [
                alias.name.split(".")[1:] for alias in node.names
                if alias.name.split(".")[0] in ("src", "lipsync")
            ]  # fmt: skip
        found += [(node.lineno, ".".join(parts), id(node) not in top) for parts in names]
    return found


def _is_scope(statement: ast.stmt) -> bool:
    return isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))


def problems_of(code: str, module: str) -> list[str]:
    """What is wrong with the imports of a module, a line each."""
    package = module.split(".")[0] if "." in module else None
    if package and package not in LEVEL:
        return [f"{module}: the package {package} has no level"]
    problems = []
    for line, imported, _ in imports_of(code, module):
        target = imported.split(".")[0]
        if target not in LEVEL:
            problems.append(f"{module}:{line} imports {imported or 'src'}, which is no package")
        elif package and target != package and LEVEL[target] >= LEVEL[package]:
            problems.append(f"{module}:{line} imports {imported}, which is not below it")
    return problems


def modules() -> dict[str, Path]:
    """Dotted name below ``src`` -> file."""
    return {
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts): path
        for path in sorted((ROOT / "src").rglob("*.py"))
        if path != ROOT / "src" / "__init__.py"
    }


def test_imports_lead_down():
    found = modules()
    assert len(found) > 80
    problems = [
        problem
        for name, path in found.items()
        for problem in problems_of(path.read_text(encoding="utf-8"), name)
    ]
    assert problems == []


def local_imports(code: str) -> set[str]:
    """Top-level names of what is imported inside functions; ``.`` for project modules."""
    names = set()
    for scope in ast.walk(ast.parse(code)):
        if not isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for node in ast.walk(scope):
            if isinstance(node, ast.ImportFrom):
                names.add("." if node.level else node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
    return names


# … but for one: all commands read their arguments with it, and --help is quick without settings.
# … and for two that load what needs PyTorch: with exported encoders scoring runs without it.
LOCAL_PROJECT_IMPORTS = {"core.cli", "models.backend", "pipeline.torch_parts"}


def test_imports_inside_functions_are_of_slow_libraries():
    wrong = {
        name: sorted(local - SLOW_LIBRARIES)
        for name, path in modules().items()
        if "." in name and (local := local_imports(path.read_text(encoding="utf-8")))
        and local - SLOW_LIBRARIES
    }  # fmt: skip
    assert wrong == {name: ["."] for name in LOCAL_PROJECT_IMPORTS}
    assert local_imports("def f():\n    from ..core import files\n    import json, torch") == {
        ".", "json", "torch",
    }  # fmt: skip


def prints(code: str) -> int:
    """How often a module calls ``print``."""
    return sum(
        isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
        for node in ast.walk(ast.parse(code))
    )


def test_only_scripts_and_the_console_print():
    printing = {
        name for name, path in modules().items()
        if "." in name and prints(path.read_text(encoding="utf-8"))
    }  # fmt: skip
    assert printing == {"core.cli", "core.console"}


def test_no_module_imports_itself_in_a_circle():
    graph = {
        name: {imported for _, imported, _ in imports_of(path.read_text(encoding="utf-8"), name)}
        for name, path in modules().items()
    }
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name in done or name not in graph:
            return
        for imported in graph[name]:
            visit(imported, (*way, name))
        done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize(
    ("module", "code", "says"),
    [
        ("scoring.drift", "from ..report.plots import draw", "which is not below it"),
        ("scoring.drift", "def f():\n    from ..report.plots import draw", "which is not below it"),
        ("media.reader", "from ..audio.features import HOP", "which is not below it"),
        ("media.reader", "from src.audio.features import HOP", "which is not below it"),
        ("media.reader", "import lipsync.audio.features", "which is not below it"),
        ("core.files", "from .. import train", "which is no package"),
        ("training.loop", "from ..train import main", "which is no package"),
        ("novelty.thing", "import os", "has no level"),
        ("train", "from .evaluate import main", "which is no package"),
    ],
)
def test_wrong_imports_are_found(module, code, says):
    assert [says in problem for problem in problems_of(code, module)] == [True]


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("scoring.drift", "import numpy\nfrom ..core.constants import FPS\nfrom .x import y"),
        ("train", "from .training.loop import fit_model"),
    ],
)
def test_right_imports_are_let_through(module, code):
    assert problems_of(code, module) == []


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("src.scoring.evidence", ["av", "cv2", "torch", "onnxruntime", "matplotlib"]),
        ("src.core.constants", ["numpy", "av", "cv2", "torch"]),
        ("src.inference", ["numpy", "pydantic", "av", "cv2", "torch"]),
        ("src.pipeline.engine", ["torch", "torchaudio", "matplotlib", "onnx", "sklearn", "scipy"]),
    ],
)
def test_light_modules_load_nothing_heavy(module, heavy):
    """``scoring.evidence`` is plain NumPy."""
    code = f"import sys, {module}\nprint(*(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
