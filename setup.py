"""What pyproject.toml cannot say: the top-level `specs/` ships inside the wheel as `hrmsearch/specs`.

Everything else is declared in pyproject.toml. An editable install needs no copy, for the checkout has `specs/` itself.
"""

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithSpecs(build_py):
    """Builds the packages, and the specs as the data of one more."""

    def finalize_options(self) -> None:
        """Add `hrmsearch.specs`, a package of YAML files only."""
        super().finalize_options()
        self.packages = [*self.packages, "hrmsearch.specs"]
        self.package_dir = {**self.package_dir, "hrmsearch.specs": "specs"}
        self.package_data = {**self.package_data, "hrmsearch.specs": ["**/*.yaml"]}


setup(cmdclass={"build_py": BuildWithSpecs})
