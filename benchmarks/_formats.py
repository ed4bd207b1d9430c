"""File formats behind one interface: arrays to a file, and back.

``write`` includes whatever a format needs to get from NumPy arrays to a file; ``open`` is what
its library offers for reading; ``total`` opens the file and adds up every weight.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from _measure import is_present

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Format:
    """A way to store arrays.

    Attributes:
        name: What the tables call it.
        requires: Modules it needs.
        write: Arrays to a file.
        open: A file to whatever holds its arrays.
        arrays: The arrays of what was opened.
        slow: Whether it takes seconds where the others take milliseconds.
        most: Bytes that it can store at most, if that is known to be little.
    """

    name: str
    requires: tuple[str, ...]
    write: Callable[[Sequence[Weights], Path], object]
    open: Callable[[Path], Any]
    arrays: Callable[[Any], Iterable[npt.NDArray[Any]]]
    slow: bool = False
    most: int | None = None

    @property
    def present(self) -> bool:
        """Whether all that it needs is installed."""
        return all(map(is_present, self.requires))

    def total(self, path: Path) -> float:
        """Open the file and add up every weight."""
        return sum(float(array.sum()) for array in self.arrays(self.open(path)))


# snnir ---------------------------------------------------------------------------------------


def _snnir_model(weights: Sequence[Weights]) -> Any:
    import snnir

    builder = snnir.GraphBuilder("benchmark")
    value = builder.input("x", [weights[0].shape[0]])
    for weight in weights:
        value = builder.snn.Dense(value, weight=weight)
    builder.output("y", value)
    return builder.build()


def _snnir_write(weights: Sequence[Weights], path: Path) -> None:
    import snnir

    snnir.save(_snnir_model(weights), path)


def _snnir_write_without_digests(weights: Sequence[Weights], path: Path) -> None:
    import snnir

    snnir.save(_snnir_model(weights), path, digests=False)


def _snnir_open(path: Path) -> Any:
    import snnir

    return snnir.load(path)


def _snnir_arrays(model: Any) -> Iterable[npt.NDArray[Any]]:
    return (tensor.numpy() for _, tensor in model.graph.tensors())


# NumPy ---------------------------------------------------------------------------------------


def _numpy_write(weights: Sequence[Weights], path: Path) -> None:
    with open(path, "wb") as file:
        for weight in weights:
            weight.tofile(file)


def _numpy_open(path: Path) -> Any:
    return np.memmap(path, np.float32, "r")


# Peers ---------------------------------------------------------------------------------------


def _safetensors_write(weights: Sequence[Weights], path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({f"w{index:04}": weight for index, weight in enumerate(weights)}, path)


def _safetensors_open(path: Path) -> Any:
    from safetensors.numpy import load_file

    return load_file(path)


def _safetensors_open_lazily(path: Path) -> Any:
    from safetensors import safe_open

    return safe_open(path, framework="np")


def _safetensors_lazy_arrays(opened: Any) -> Iterable[npt.NDArray[Any]]:
    return (opened.get_tensor(name) for name in opened.keys())  # noqa: SIM118 (not a mapping)


def _onnx_write(weights: Sequence[Weights], path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("MatMul", [f"v{i}", f"w{i}"], [f"v{i + 1}"]) for i in range(len(weights))
    ]
    ends = [
        helper.make_tensor_value_info(f"v{i}", TensorProto.FLOAT, [1, length])
        for i, length in ((0, weights[0].shape[0]), (len(weights), weights[-1].shape[1]))
    ]
    tensors = [numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(weights)]
    graph = helper.make_graph(nodes, "benchmark", ends[:1], ends[1:], tensors)
    onnx.save(helper.make_model(graph), path)


def _onnx_open(path: Path) -> Any:
    import onnx

    return onnx.load(path)


def _onnx_arrays(model: Any) -> Iterable[npt.NDArray[Any]]:
    from onnx import numpy_helper

    return (numpy_helper.to_array(tensor) for tensor in model.graph.initializer)


def _nir_write(weights: Sequence[Weights], path: Path, **options: Any) -> None:
    import nir

    nodes: dict[str, Any] = {
        "input": nir.Input(np.array([weights[0].shape[0]])),
        **{f"w{i:04}": nir.Linear(weight) for i, weight in enumerate(weights)},
        "output": nir.Output(np.array([weights[-1].shape[1]])),
    }
    graph = nir.NIRGraph(nodes, list(itertools.pairwise(nodes)))
    nir.write(path, graph, **options)


def _nir_write_uncompressed(weights: Sequence[Weights], path: Path) -> None:
    _nir_write(weights, path, compression=None)


def _nir_open(path: Path) -> Any:
    import nir

    return nir.read(path)


def _nir_arrays(graph: Any) -> Iterable[npt.NDArray[Any]]:
    return (node.weight for node in graph.nodes.values() if hasattr(node, "weight"))


SNNIR: Final = Format("snnir", ("snnir",), _snnir_write, _snnir_open, _snnir_arrays)
SNNIR_PLAIN: Final = Format(
    "snnir, digests=False",
    ("snnir",),
    _snnir_write_without_digests,
    _snnir_open,
    _snnir_arrays,
)
NUMPY: Final = Format(
    "tofile, np.memmap", (), _numpy_write, _numpy_open, lambda weights: (weights,)
)
SAFETENSORS_LAZY: Final = Format(
    "safetensors, safe_open",
    ("safetensors",),
    _safetensors_write,
    _safetensors_open_lazily,
    _safetensors_lazy_arrays,
)
FORMATS: Final = (
    SNNIR,
    SNNIR_PLAIN,
    NUMPY,
    SAFETENSORS_LAZY,
    Format(
        "safetensors, load_file",
        ("safetensors",),
        _safetensors_write,
        _safetensors_open,
        lambda tensors: tensors.values(),
    ),
    Format(
        "ONNX, raw_data",
        ("onnx",),
        _onnx_write,
        _onnx_open,
        _onnx_arrays,
        slow=True,
        most=(1 << 31) - 1,
    ),
    Format(
        "NIR, uncompressed",
        ("nir", "h5py"),
        _nir_write_uncompressed,
        _nir_open,
        _nir_arrays,
        slow=True,
    ),
    Format("NIR, gzip (default)", ("nir", "h5py"), _nir_write, _nir_open, _nir_arrays, slow=True),
)
"""All, snnir first."""


def named(name: str) -> Format:
    """The format of that name."""
    return next(known for known in FORMATS if known.name == name)
