"""Only what pyproject.toml cannot say: a wheel carries the starter rules, which live once, in rules/."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRules(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "agents" / "starter"
            shutil.copytree("rules", target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("secrets", ".*"))


setup(cmdclass={"build_py": BuildWithRules})
