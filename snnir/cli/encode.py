"""Make spike data, a dataset of events, of static arrays, of sound or of other event files.

  latency, poisson  SRC is a .npy or .npz file with samples 'x' and maybe labels 'y', as for
                    `snnir eval`; values from 0 to 1, if need be after --scale
  audio             SRC is an .npz file with recordings one after the other in 'samples', 'offsets'
                    (where each begins, and the end) and labels, by default 'y'
  events            SRC is an event file of any format that is installed, e.g. SHD and SSC

docs/data.md says what each does. An option that a method does not have is an error.

  snnir encode digits.npz --method latency --scale 1/255 --steps 20 -o spikes.npz
  snnir encode speech.npz --method audio --rate 8000 --labels digit --beyond cut -o train.npz
  snnir encode shd_train.h5 --method events --steps 1000 --beyond cut -o train.npz
"""

from __future__ import annotations

import argparse
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from snnir.cli.common import (
    STDIO,
    Exit,
    UsageError,
    note,
    out_json,
    positive,
    require_different_files,
    shown,
)

if TYPE_CHECKING:
    from snnir.data import SpikeData
    from snnir.data.arrays import Archive

Array = npt.NDArray[Any]

_COMMON: Final = ("steps", "dt", "empty")
_FRONT_END: Final = ("rate", "bands", "lowest", "highest", "window", "floor", "delta")
_OPTIONS: Final = {
    "latency": (*_COMMON, "labels", "where", "scale", "window_steps", "minimum"),
    "poisson": (*_COMMON, "labels", "where", "scale", "gain", "seed"),
    "audio": (*_COMMON, "labels", "where", "beyond", *_FRONT_END),
    "events": (*_COMMON, "beyond", "neurons"),
}
"""Options of each method; those of the function that does it have its names."""

_NEEDED: Final = {
    "latency": ("steps",),
    "poisson": ("steps",),
    "audio": ("rate",),
    "events": ("steps",),
}
_COMPARISONS: Final[dict[str, Callable[[Array, int], Any]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION: Final = re.compile(r"(\w+)\s*(<=|>=|==|!=|<|>)\s*(-?\d+)")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("source", metavar="SRC", help="what to make spikes of")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="an .npz file")
    parser.add_argument("--method", choices=tuple(_OPTIONS), required=True, help="how")
    parser.add_argument("--steps", metavar="N", type=positive, help="presentation length in steps")
    parser.add_argument("--dt", metavar="S", type=number, help="length of a step in seconds")
    parser.add_argument("--labels", metavar="NAME", help="array of labels in SRC (default: y)")
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        type=condition,
        help="only samples for which an array of SRC fulfils it, e.g. 'index<5'",
    )
    parser.add_argument(
        "--empty",
        choices=("warn", "refuse", "allow"),
        help="what to do about samples without events (default: warn)",
    )
    parser.add_argument(
        "--beyond",
        choices=("refuse", "cut"),
        help="what to do about events after the last step (default: refuse)",
    )
    group = parser.add_argument_group("options of methods")
    group.add_argument("--scale", metavar="X", type=number, help="factor on the values, e.g. 1/255")
    group.add_argument("--window-steps", metavar="N", type=positive, help="steps with spikes")
    group.add_argument("--minimum", metavar="X", type=number, help="smaller values do not spike")
    group.add_argument("--gain", metavar="X", type=number, help="probability of a spike for 1")
    group.add_argument("--seed", metavar="N", type=int, help="seed of the random numbers")
    group.add_argument("--neurons", metavar="N", type=positive, help="number of neurons")
    group.add_argument("--rate", metavar="HZ", type=positive, help="samples of sound in a second")
    group.add_argument("--bands", metavar="N", type=positive, help="number of filters")
    group.add_argument("--lowest", metavar="HZ", type=number, help="where the first filter begins")
    group.add_argument("--highest", metavar="HZ", type=number, help="where the last filter ends")
    group.add_argument("--window", metavar="S", type=number, help="sound around each step")
    group.add_argument("--floor", metavar="DB", type=number, help="range of the energies")
    group.add_argument("--delta", metavar="DB", type=number, help="change that is an event")


def number(text: str) -> float:
    """A number or a fraction, for argparse."""
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None


def condition(text: str) -> tuple[str, str, int]:
    """Array, comparison and number, for argparse."""
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME, a comparison and a whole number")
    return match[1], match[2], int(match[3])


def run(args: argparse.Namespace) -> int:
    """Make spike data."""
    from snnir.data import save

    every = {name for names in _OPTIONS.values() for name in names}
    given = {name: value for name in every if (value := getattr(args, name)) is not None}
    wrong = sorted(given.keys() - set(_OPTIONS[args.method]))
    if wrong:
        names = ", ".join("--" + name.replace("_", "-") for name in wrong)
        raise UsageError(f"{names}: not an option of --method {args.method}")
    missing = [f"--{name}" for name in _NEEDED[args.method] if name not in given]
    if missing:
        raise UsageError(f"--method {args.method} needs {', '.join(missing)}")
    if STDIO in (args.source, args.output):
        raise UsageError("SRC and OUT are files")
    require_different_files({"SRC": args.source}, {"OUT": args.output})
    data = _encoded(args.source, args.method, given)
    save(data, args.output)
    if args.json:
        out_json(
            {
                "file": args.output,
                "samples": len(data),
                "events": int(data.times.size),
                "shape": list(data.shape),
                "steps": data.steps,
                "dt": data.dt,
                "classes": data.classes,
                "digest": data.digest(),
            }
        )
    else:
        note(args, shown(f"'{args.output}': {data!r}"))
    return Exit.OK


def _encoded(source: str, method: str, given: dict[str, Any]) -> SpikeData:
    from snnir import data

    if method == "events":
        return data.read_events(source, **given)
    label_name, where = given.pop("labels", "y"), given.pop("where", None)
    if method == "audio":
        front = data.FrontEnd(**{k: v for k, v in given.items() if k not in ("empty", "beyond")})
        options = {k: v for k, v in given.items() if k in ("empty", "beyond")}
        recordings, labels = _recordings(source, label_name, where)
        return front.encode(recordings, labels, **options)
    x, labels = _samples(source, label_name, where)
    function = data.latency if method == "latency" else data.poisson
    return function(x, labels, **given)


def _samples(source: str, label_name: str, where: Any) -> tuple[Array, Array | None]:
    """The static samples of a data file, and their labels."""
    from snnir.data.arrays import NPY, Archive, array_samples, fail, open_file

    place = f"data file '{source}'"
    with open_file(source, place) as file:
        head = file.read(len(NPY))
        size = file.seek(0, 2)
        file.seek(0)
        if head == NPY:
            if where is not None:
                raise UsageError("--where needs an .npz file with that array")
            samples = array_samples(file, place, size)
            return samples.read(samples.shape[0]), None
        archive = Archive(file, place)
        x = np.array(_array(archive, "x"))
        if x.ndim < 2:
            fail(archive.place("x"), f"shape {list(x.shape)}", "(samples, features)")
        labels = _labels(archive, label_name, len(x))
        chosen = _chosen(archive, where, len(x))
        return x[chosen], labels if labels is None else labels[chosen]


def _recordings(source: str, label_name: str, where: Any) -> tuple[list[Array], Array | None]:
    """The recordings of a data file, and their labels."""
    from snnir.data.arrays import Archive, fail, open_file

    place = f"data file '{source}'"
    with open_file(source, place) as file:
        archive = Archive(file, place)
        samples = np.array(_array(archive, "samples"))
        bounds = np.array(_array(archive, "offsets")).astype(np.int64)
        fits = bounds.ndim == samples.ndim == 1 and bounds.size and bounds[0] >= 0
        if not fits or bounds[-1] > samples.size or np.any(np.diff(bounds) < 0):
            fail(archive.place("offsets"), "no ranges of 'samples'", "rising bounds of recordings")
        labels = _labels(archive, label_name, bounds.size - 1)
        chosen = np.arange(bounds.size - 1)[_chosen(archive, where, bounds.size - 1)]
        recordings = [samples[bounds[i] : bounds[i + 1]] for i in chosen]
        return recordings, labels if labels is None else labels[chosen]


def _array(archive: Archive, name: str) -> Array:
    from snnir.data.arrays import fail

    if name not in archive.members:
        known = ", ".join(f"'{member}'" for member in list(archive.members)[:8]) or "no array"
        fail(archive.where, known, f"an array '{name}'")
    return archive.array(name)


def _labels(archive: Archive, name: str, count: int) -> Array | None:
    """The labels; those that were not asked for need not be there."""
    if name == "y" and name not in archive.members:
        return None
    return _each(archive, name, count)


def _each(archive: Archive, name: str, count: int) -> Array:
    """An array with a number for each sample."""
    from snnir.data.arrays import fail

    numbers = np.array(_array(archive, name))
    if numbers.shape != (count,):
        found, allowed = f"shape {list(numbers.shape)}", f"a number for each of {count} samples"
        fail(archive.place(name), found, allowed)
    return numbers


def _chosen(archive: Archive, where: tuple[str, str, int] | None, count: int) -> Array:
    """Which samples are wanted, (count) bools."""
    if where is None:
        return np.ones(count, bool)
    name, comparison, limit = where
    chosen: Array = _COMPARISONS[comparison](_each(archive, name, count), limit)
    return chosen
