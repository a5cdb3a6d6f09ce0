"""The build step that pyproject.toml cannot describe: files from outside ``src/`` go into it."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# Found by ``core/resources.py``, by the same names.
RESOURCES = (
    "config.yaml",
    "docs/result.schema.json",
    "pretrained/best_model.pth",
    "pretrained/judge.pth",
    "tools/inference_example.py",
)


class BuildWithResources(build_py):
    """Copies the resources to ``lipsync/resources/``."""

    def run(self):
        super().run()
        if self.editable_mode:  # the files of the checkout are used
            return
        for name in RESOURCES:
            target = Path(self.build_lib, "lipsync", "resources", name)
            self.mkpath(str(target.parent))
            self.copy_file(name, str(target))


setup(cmdclass={"build_py": BuildWithResources})
