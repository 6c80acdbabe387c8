"""Builds the extension. SEMCORE_BUILD chooses the flavour: release, debug, asan, tsan or coverage."""

import os
import sys
from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

FLAVOURS = {
    "release": (["-O3"], []),
    "debug": (["-O0", "-g", "-UNDEBUG"], []),
    "asan": (
        ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
        ["-fsanitize=address,undefined"],
    ),
    "tsan": (["-O1", "-g", "-fsanitize=thread"], ["-fsanitize=thread"]),
    "coverage": (["-O0", "-g", "--coverage"], ["--coverage"]),
}

flavour = os.environ.get("SEMCORE_BUILD", "release")
if flavour not in FLAVOURS:
    raise SystemExit(f"SEMCORE_BUILD: expected one of {', '.join(FLAVOURS)}, got {flavour!r}")
compile_args, link_args = FLAVOURS[flavour]
if sys.platform == "win32":
    compile_args, link_args = ["/O2", "/std:c11", "/experimental:c11atomics"], []
else:
    warnings = ["-Wall", "-Wextra", "-Wno-cast-function-type"]
    compile_args = ["-std=c11", "-fvisibility=hidden", *warnings, *compile_args]

engine = Extension(
    "semcore._engine",
    sources=["src/semcore/_engine.pyx", *sorted(glob("src/semcore/core/**/*.c", recursive=True))],
    depends=[
        "src/semcore/_engine.pxd",
        *sorted(glob("src/semcore/*.pxi")),
        *sorted(glob("src/semcore/core/**/*.h", recursive=True)),
    ],
    include_dirs=["src/semcore", numpy.get_include()],
    define_macros=[
        ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
        ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
    ],
    extra_compile_args=compile_args,
    extra_link_args=link_args,
)
# A build folder a flavour, and none but release is ever reused: the objects differ, their sources do not.
# Cython copies headers of a neighbour whose name starts as ours does to "../NAME": inside of build.
setup(
    ext_modules=cythonize([engine], build_dir="build/cython"),
    options={"build": {"build_base": f"build/{flavour}"}, "build_ext": {"force": flavour != "release"}},
)
