"""Only what pyproject.toml cannot say: a wheel carries the starter rules and the runbooks, which live once, in rules/
and docs/runbooks/."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRules(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "agents"
            without = shutil.ignore_patterns("secrets", ".*")
            shutil.copytree("rules", target / "starter", dirs_exist_ok=True, ignore=without)
            shutil.copytree("docs/runbooks", target / "runbooks", dirs_exist_ok=True, ignore=without)


setup(cmdclass={"build_py": BuildWithRules})
