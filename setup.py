"""All settings stand in pyproject.toml, but for one: `pip install -e` shall install its data-files, too."""

from setuptools import Distribution, setup


class WithData(Distribution):
    """An editable installation asks `has_data`, where setuptools (77 to 84) has defined `has_data_files` only."""

    has_data = Distribution.has_data_files


setup(distclass=WithData)
