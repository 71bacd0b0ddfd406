"""The paper venue's kernel as machine code: compiled once by a child process, then only loaded.

A compiler in memory costs more than the replay it serves, so the one that compiles ends with its
process. What it made is kept beside Python's own byte code, under a name that says for which source
and which processor, and loaded by llvmlite alone.
"""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from engine.errors import BrokenInvariant, ConfigError
from engine.venues.paper import columns, kernel

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(kernel.__file__).parent / "__pycache__"
BUILD_S_MAX = 600

_SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int64, *(ctypes.c_void_p,) * 4)

Ints = Any  # an int64 array


class KernelCode:
    """`kernel.advance`, compiled. Arrays must be contiguous int64, as the kernel lays them out."""

    def __init__(self, kept: bytes) -> None:
        name, _, code = kept.partition(b"\n")
        _name_what_is_never_called()
        # Held, because the code lives as long as its engine does.
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self._call = _SIGNATURE(self._engine.get_function_address(name.decode()))
        self._arrays: tuple[Ints, ...] = (None, None, None)
        self._places: tuple[int, ...] = ()

    def __call__(self, grid: Ints, desk: Ints, rows: Ints) -> bool:
        """Hear rows, as `kernel.advance`."""
        known = self._arrays
        if grid is not known[0] or desk is not known[1] or rows is not known[2]:
            if any(a.dtype != np.int64 or not a.flags.c_contiguous for a in (grid, desk, rows)):
                raise BrokenInvariant("the compiled kernel was given arrays it cannot read")
            sizes = np.array((grid.shape[2], len(desk), len(rows)), np.int64)
            self._arrays = (grid, desk, rows, sizes)  # held: their addresses are
            self._places = tuple(array.ctypes.data for array in self._arrays)
        return bool(self._call(*self._places))


def load() -> KernelCode:
    """Return the compiled kernel, compiled now where that was not done before: seconds."""
    kept = FOLDER / f"kernel-{_key()}.code"
    try:
        return KernelCode(kept.read_bytes())
    except OSError:
        made = _made()
    try:
        kept.parent.mkdir(exist_ok=True)
        whole = kept.with_suffix(f".{os.getpid()}")
        whole.write_bytes(made)
        whole.replace(kept)
    except OSError:
        pass  # a folder that takes nothing: the next process compiles again
    return KernelCode(made)


def _machine() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        codemodel="jitdefault",
    )


def _key() -> str:
    """Name everything the machine code depends on."""
    sources = "".join(inspect.getsource(module) for module in (kernel, columns))
    parts = (
        *(sources, inspect.getsource(sys.modules[__name__])),
        *(version("numba"), version("llvmlite")),
        *(llvm.get_default_triple(), llvm.get_host_cpu_name()),
        llvm.get_host_cpu_features().flatten(),
    )
    return hashlib.blake2b("|".join(parts).encode(), digest_size=12).hexdigest()


def _made() -> bytes:
    """Have a child process compile the kernel. Raises ConfigError where it cannot."""
    done = subprocess.run(
        [sys.executable, "-m", "engine.lab.replay.kernel_code"],
        cwd=ROOT, capture_output=True, timeout=BUILD_S_MAX, check=False,
    )  # fmt: skip
    if done.returncode or not done.stdout:
        why = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ConfigError(
            f"the paper venue's compiled path cannot be made ({why}); run `make venv` again"
        )
    return done.stdout


def _name_what_is_never_called() -> None:
    """Give the names of numba's error paths an address: the kernel raises nothing.

    Were one of them ever taken, the process would end rather than go on with wrong numbers.
    """
    end = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
    for name in (
        *("numba_do_raise", "numba_gil_ensure", "numba_gil_release", "numba_unpickle"),
        *("numba_runtime_build_excinfo_struct", "NRT_Free", "NRT_MemInfo_call_dtor"),
    ):
        llvm.add_symbol(name, end)


# -- in the child ----------------------------------------------------------------------------------


def jitted() -> None:
    """Put compiled functions in the place of the kernel's, in this process."""
    numba = import_module("numba")
    functions = inspect.getmembers(kernel, inspect.isfunction)
    vars(kernel).update(
        {name: numba.njit(error_model="numpy")(function) for name, function in functions}
    )


def build() -> bytes:
    """Return the name of the kernel's entry and, behind a line's end, its object code."""
    jitted()
    numba, advance, width = import_module("numba"), kernel.advance, columns.WIDTH
    array = numba.types.CPointer(numba.types.int64)

    @numba.cfunc(numba.types.int64(*(array,) * 4), error_model="numpy")
    def entry(grid, desk, rows, sizes):  # type: ignore[no-untyped-def]
        return advance(
            numba.carray(grid, (4, 2, sizes[0])),
            numba.carray(desk, (sizes[1],)),
            numba.carray(rows, (sizes[2], width)),
        )

    module = llvm.parse_assembly(entry.inspect_llvm())
    code: bytes = _machine().emit_object(module)
    return f"{entry.native_name}\n".encode() + code


if __name__ == "__main__":
    sys.stdout.buffer.write(build())
