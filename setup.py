"""The package is called satpipe and lies in pipeline/; everything else about it is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    package_dir={"satpipe": "pipeline", "satpipe.configs": "configs"},
    packages=["satpipe", "satpipe.configs", *(f"satpipe.{name}" for name in find_packages("pipeline"))],
)
