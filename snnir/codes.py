"""Every code that a diagnostic can carry: the source of ``proto/spec/errors.md``.

A code is released once and then keeps its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class CodeInfo:
    """What a diagnostic code means.

    Attributes:
        title: The problem in a few words.
        remedy: What to do about it, unless a diagnostic says it more exactly.
        severity: ``"error"`` if the model or file cannot be used.
    """

    title: str
    remedy: str
    severity: Severity = "error"


def _warning(title: str, remedy: str) -> CodeInfo:
    return CodeInfo(title, remedy, "warning")


_DAMAGED = "Get the file again from where it came from; it was changed after it was written."

CODES: Final[dict[str, CodeInfo]] = {
    # Files -------------------------------------------------------------------------------
    "file.unreadable": CodeInfo("the file cannot be read", "Check the path and its permissions."),
    "file.unwritable": CodeInfo(
        "the file cannot be written",
        "Check the folder, its permissions and the free space. A file that was there is unchanged.",
    ),
    "file.data": CodeInfo(
        "the data file cannot be used", "Give a .npy file, or an .npz file with one array an input."
    ),
    "format.not-snnir": CodeInfo(
        "this is not a snnir model",
        "Give a file written by snnir; `snnir convert` reads other formats.",
    ),
    "file.unknown-format": CodeInfo(
        "this is not a model in a known format",
        "Give a saved model; `snnir plugins` lists what reads other formats.",
    ),
    "format.truncated": CodeInfo("the file ends too early", _DAMAGED),
    "format.malformed": CodeInfo("the file is not a well-formed model", _DAMAGED),
    "format.header-digest": CodeInfo("the header does not match its SHA-256", _DAMAGED),
    "format.blob-digest": CodeInfo("the weights do not match their SHA-256", _DAMAGED),
    "format.blob-index": CodeInfo("a tensor refers to a blob that is not there", _DAMAGED),
    "format.length": CodeInfo("a tensor's bytes do not fit its dtype and shape", _DAMAGED),
    "format.value-index": CodeInfo(
        "an edge or output refers to a value that is not there", _DAMAGED
    ),
    "format.enum": CodeInfo(
        "an enum has a value that is not allowed", "Write the file again with a correct writer."
    ),
    "format.missing": CodeInfo(
        "a required field is absent", "Write the file again with a correct writer."
    ),
    "format.order": CodeInfo(
        "a list is not sorted or has a key twice", "Write the file again with a correct writer."
    ),
    "format.unfit": CodeInfo(
        "the format cannot hold this", "Correct it; `snnir check` lists what else is wrong."
    ),
    "format.limit": CodeInfo(
        "a limit of the format is exceeded", "See the limits in proto/spec/format.md."
    ),
    "format.unknown-field": _warning(
        "the file holds a field that this version does not know; it is not kept",
        "Update snnir to keep what the field says.",
    ),
    "version.ir": CodeInfo("the file's format is newer than this library", "Update snnir."),
    "version.opset": CodeInfo(
        "an operator set is newer than this library or plugin", "Update snnir or the plugin."
    ),
    # Graph -------------------------------------------------------------------------------
    "graph.name": CodeInfo(
        "a name is not allowed",
        "Use letters, digits, '_', '.', '/' and '-'; start with a letter or '_'.",
    ),
    "graph.duplicate-name": CodeInfo("a name is used twice", "Rename one of them."),
    "graph.duplicate-edge": CodeInfo(
        "the same edge is there twice", "Keep one, or scale the value by two."
    ),
    "graph.dangling-edge": CodeInfo(
        "an edge or output refers to a value that does not exist",
        "Connect it to a graph input or to an output port of a node.",
    ),
    "graph.undelayed-cycle": CodeInfo(
        "a cycle has no delay", "Give one binding of the cycle delay_steps of at least 1."
    ),
    "graph.unreachable": _warning(
        "a node contributes to no output", "Remove it, or declare an output that needs it."
    ),
    "graph.no-output": CodeInfo("the graph has no output", "Declare at least one output."),
    "graph.unused-input": _warning("a graph input is used by no node", "Remove it or connect it."),
    "graph.delay": CodeInfo(
        "a delay is not possible here", "Delay per-step values only, by a whole number of steps."
    ),
    # Operators ---------------------------------------------------------------------------
    "op.unknown-domain": _warning(
        "no installed plugin provides this operator domain",
        "Install the package that provides it; until then its nodes cannot be checked or run.",
    ),
    "op.unknown": CodeInfo(
        "the domain has no such operator", "`snnir op` lists the operators of every domain."
    ),
    "op.not-executable": CodeInfo(
        "an operator has no implementation here",
        "Install the package that provides its domain (entry point group 'snnir.ops').",
    ),
    "op.upgrade": CodeInfo(
        "a node cannot be brought to a newer version of its operator",
        "Keep the model as it is: older versions stay readable. Or rebuild this node.",
    ),
    "op.opset": CodeInfo(
        "a domain in use is not among the model's operator sets", "Add the domain and its version."
    ),
    "op.port": CodeInfo("a port is not connected as the operator requires", "See `snnir op`."),
    "op.attribute": CodeInfo("an attribute is not allowed or missing", "See `snnir op`."),
    "op.parameter": CodeInfo("a parameter is not allowed or missing", "See `snnir op`."),
    # Types -------------------------------------------------------------------------------
    "type.shape": CodeInfo("a shape does not fit", "Correct the shape or the connection."),
    "type.dtype": CodeInfo("an element type does not fit", "Convert the tensor or the value."),
    "type.timing": CodeInfo(
        "a static value is where a per-step value belongs, or the reverse",
        "Put an encoder before a per-step port and a decoder before a static one.",
    ),
    "type.declared": CodeInfo(
        "a declared output type differs from the inferred one", "Remove or correct the declaration."
    ),
    "type.open": CodeInfo("a type cannot be inferred", "Declare the node's output types."),
    "type.quantisation": CodeInfo(
        "a quantisation does not fit its tensor", "Correct scale, zero point, axis or bits."
    ),
    # Values ------------------------------------------------------------------------------
    "value.not-finite": CodeInfo("a number is NaN or infinite", "Replace it by a finite number."),
    "value.range": CodeInfo("a number is outside its range", "Bring it into the range."),
    "value.relation": CodeInfo("two numbers contradict each other", "Correct one of them."),
    "value.time": CodeInfo("the time base is not usable", "Give dt > 0 and steps >= 1."),
    "value.metadata": CodeInfo("a metadata entry is not allowed", "Give a non-empty key."),
    # Examples ----------------------------------------------------------------------------
    "example.invalid": CodeInfo(
        "a stored example does not fit the model", "Record the example again."
    ),
    "example.none": CodeInfo(
        "the model stores no example", "Record one: `snnir run MODEL --input X --example NAME`."
    ),
    "example.mismatch": CodeInfo(
        "a backend's result differs from what the example expects",
        "The first difference is named; everything upstream of it agrees.",
    ),
    # Running -----------------------------------------------------------------------------
    "run.input": CodeInfo("an input does not fit the model", "Correct the array."),
    "run.record": CodeInfo(
        "a value to record does not exist", "Name an output, a value 'node:port' or a state."
    ),
    "run.steps": CodeInfo(
        "a number of steps is not possible", "Give a whole number of at least 1."
    ),
    "run.capability": CodeInfo(
        "the backend cannot run this model exactly", "Use another backend, or change the node."
    ),
    # Spike data --------------------------------------------------------------------------
    "spikes.array": CodeInfo(
        "an array or number of spike data is missing or not of its kind",
        "Correct it; docs/data.md says what spike data consists of.",
    ),
    "spikes.offsets": CodeInfo(
        "the offsets do not divide the events into samples",
        "Give the number of events before each sample, and of all events last.",
    ),
    "spikes.order": CodeInfo(
        "events are not in order, or there twice",
        "Sort them; snnir.data.from_events does, and merges what is there twice.",
    ),
    "spikes.time": CodeInfo(
        "an event is outside of the presentation", "Raise the number of steps, or cut the event."
    ),
    "spikes.neuron": CodeInfo(
        "an event is at a neuron that does not exist", "Correct the neuron, or the shape."
    ),
    "spikes.label": CodeInfo(
        "labels are missing or out of range", "Give the class of each sample, counted from 0."
    ),
    "spikes.empty": _warning(
        "samples have no event", "Leave them out if a silent sample means nothing."
    ),
    "spikes.empty-sample": CodeInfo(
        "samples have no event, which was not to be", "Leave them out, or allow them."
    ),
    "spikes.merged": _warning(
        "a neuron spiked several times in one step, which is one spike",
        "Nothing has to be done if that is fine enough; shorter steps keep more apart.",
    ),
    "spikes.cut": _warning(
        "events after the last step were left out", "Raise the number of steps to keep them."
    ),
    "spikes.limit": CodeInfo("spike data exceeds a limit", "Split it into several files."),
    "spikes.option": CodeInfo("a setting of the data is not possible", "Choose another value."),
    # Recipes -----------------------------------------------------------------------------
    "recipe.unknown": CodeInfo("there is no such recipe", "`snnir new --list` lists them."),
    "recipe.option": CodeInfo(
        "a size or option of a recipe is not possible",
        "`snnir new --list` shows the options of each recipe.",
    ),
    # Sweeps ------------------------------------------------------------------------------
    "sweep.file": CodeInfo("the sweep is neither TOML nor JSON", "Correct the line it names."),
    "sweep.config": CodeInfo(
        "the configuration of a sweep is not as it must be", "See `snnir sweep --help`."
    ),
    "sweep.scheduler": CodeInfo(
        "the scheduler cannot be reached", "Start one with `dask scheduler`, or leave it out."
    ),
    "sweep.report": CodeInfo(
        "the table has no such column", "Name a value of a step's result as step.key."
    ),
    # Plugins -----------------------------------------------------------------------------
    "plugin.unknown": CodeInfo("no such plugin", "`snnir plugins` lists those installed."),
    "plugin.broken": CodeInfo("a plugin failed to load", "Reinstall or update its package."),
    "plugin.missing-dependency": CodeInfo("a package is not installed", "Install it."),
    # Conversion --------------------------------------------------------------------------
    "convert.source": CodeInfo(
        "there is nothing to convert: the model spikes already",
        "Use it as it is. `snnir convert MODEL -o OUT --to T` brings it to a target.",
    ),
    "convert.method": CodeInfo(
        "the method cannot carry this over",
        "Replace the activation, e.g. by ReLU, and train again.",
    ),
    "convert.option": CodeInfo(
        "an option of the conversion is not possible", "Leave it out, or choose another value."
    ),
    "convert.calibration": CodeInfo(
        "the calibration data does not fit the network",
        "Give samples as the network takes them, the first axis counting samples.",
    ),
    "convert.start-step": CodeInfo(
        "a node that starts after step 0 cannot be carried over",
        "Convert the network as it was before it was retimed, or leave out start_step.",
    ),
    "convert.few-samples": _warning(
        "there are few calibration samples", "Give a few hundred, chosen at random."
    ),
    "convert.scale": _warning(
        "the calibration data does not seem to have the scale that the network was trained on",
        "Scale the data as it was scaled in training.",
    ),
    "convert.labels": CodeInfo(
        "the labels do not fit the samples or the output", "Give the class of each sample."
    ),
    "convert.output": CodeInfo(
        "there is no such output, or it must be named",
        "Name one: --labels-of NAME (labels_of=NAME).",
    ),
    "convert.target-drop": CodeInfo(
        "no number of steps loses so little accuracy",
        "Allow more, choose another method, or give more calibration samples.",
    ),
    # Retiming ----------------------------------------------------------------------------
    "retime.cycle": CodeInfo(
        "a cycle has fewer steps of delay than the backend's connections take",
        "Give the cycle's connections more delay and train again, or use a backend whose "
        "connections take no step, e.g. `reference`.",
    ),
    "retime.window": CodeInfo(
        "a decoder that ends before the presentation has no window for that",
        "Use a decoder with a window, e.g. one of domain `snn`.",
    ),
    # Targets -----------------------------------------------------------------------------
    "target.option": CodeInfo(
        "the target has no such option or value",
        "`snnir convert SRC -o OUT --to TARGET -O help` lists them.",
    ),
    "quantise.option": CodeInfo("quantisation has no such setting", "Choose another value."),
    "quantise.nothing": CodeInfo("there is nothing to quantise", "Give a model with weights."),
    "mlgenn.unsupported": CodeInfo(
        "mlGeNN cannot carry this out exactly", "Change the node, or run the model elsewhere."
    ),
    "mlgenn.cycle": CodeInfo(
        "a cycle is faster than the synapses of GeNN, which take a step each",
        "Give edges of the cycle more delay_steps.",
    ),
    "mlgenn.late": CodeInfo(
        "neurons would move while they wait for their first input",
        "Give every edge on the way to them at least one step of delay.",
    ),
    "mlgenn.readout": _warning(
        "a readout of mlGeNN differs from the decoder", "Nothing has to be done if that is fine."
    ),
    "mlgenn.network": CodeInfo(
        "a network of mlGeNN cannot be carried over exactly", "Build the network without it."
    ),
    "mlgenn.checkpoint": CodeInfo(
        "a checkpoint of mlGeNN does not fit the network", "Give its folder and the keys it has."
    ),
    "mlgenn.time": _warning(
        "a network of mlGeNN does not say its time step and presentation length",
        "Give both, or read the compiled network.",
    ),
    "mlgenn.ignored": _warning(
        "mlGeNN, and therefore the model, does not use this",
        "Nothing has to be done if that is meant.",
    ),
    "mlgenn.option": CodeInfo("there is no such option", "Leave it out."),
    # Training ----------------------------------------------------------------------------
    "train.setting": CodeInfo("a setting of the training is not possible", "Choose another."),
    "train.data": CodeInfo("the samples do not fit", "Correct the samples or the model."),
    "train.unsupported": CodeInfo(
        "the learning rule cannot train this", "Change the node, or use another method."
    ),
    "train.nothing": CodeInfo("there is nothing to train", "Give a model with weights."),
    "train.examples": _warning(
        "stored examples are those of the untrained network, and left out",
        "Record new ones: `snnir run MODEL --input X --example NAME`.",
    ),
    "train.checkpoint": CodeInfo(
        "a checkpoint does not belong to this training",
        "Give another folder, or the model, data and settings that it was begun with.",
    ),
    "train.diverged": CodeInfo(
        "the weights are no longer numbers", "Lower the learning rate or the regularisation."
    ),
    "train.unchanged": _warning(
        "an epoch changed none of the weights of a node",
        "Begin with larger weights: what lies behind neurons that never spike learns nothing.",
    ),
    "train.failed": CodeInfo(
        "the training tool failed", "See the message; `snnir plugins` lists what is installed."
    ),
    "loihi2.unsupported": CodeInfo(
        "neurons and synapses of Loihi 2 cannot carry this out exactly",
        "Change the layer and train again.",
    ),
    # HDF5 --------------------------------------------------------------------------------
    "hdf5.malformed": CodeInfo("the HDF5 data is damaged", _DAMAGED),
    "hdf5.missing": CodeInfo("an HDF5 object is not there, or of another kind", _DAMAGED),
    "hdf5.link": CodeInfo(
        "an HDF5 link is not a plain one",
        "Write the file again without soft, external and circular links.",
    ),
    "hdf5.storage": CodeInfo(
        "HDF5 data is not stored as it should be",
        "Write the file again without external storage, virtual datasets and missing data.",
    ),
    "hdf5.type": CodeInfo(
        "an HDF5 element type is not allowed", "Write numbers or strings; nothing else is read."
    ),
    "hdf5.filter": CodeInfo(
        "an HDF5 compression is not allowed", "Write the file again with gzip or uncompressed."
    ),
    "hdf5.limit": CodeInfo(
        "an HDF5 file exceeds a limit", "Raise the limit if you trust the file."
    ),
    # Keras -------------------------------------------------------------------------------
    "keras.not-keras": CodeInfo(
        "this is not a saved Keras model",
        "Give a file written by model.save('name.keras') or model.save('name.h5').",
    ),
    "keras.archive": CodeInfo("the .keras archive is damaged or not allowed", _DAMAGED),
    "keras.config": CodeInfo("the network's configuration is malformed", _DAMAGED),
    "keras.weights": CodeInfo("weights are missing or do not fit", _DAMAGED),
    "keras.limit": CodeInfo("a saved Keras model exceeds a limit", "Build a smaller network."),
    "keras.version": CodeInfo(
        "the file was written by a Keras that is not supported",
        "Load it with the Keras that wrote it, or Keras 2, and save it again.",
    ),
    "keras.model": CodeInfo(
        "this kind of Keras model cannot be read",
        "Build it as keras.Sequential or with the functional API, copy the weights and save it.",
    ),
    "keras.layer": CodeInfo(
        "a layer cannot be carried over", "Replace the layer, or remove it from the saved network."
    ),
    "keras.argument": CodeInfo(
        "a layer's argument cannot be carried over", "Build the layer without it."
    ),
    "keras.call": CodeInfo(
        "the way a layer is called cannot be carried over", "Call the layer on tensors alone."
    ),
    "keras.precision": _warning(
        "a layer computes in another precision than float32, which is what it now computes in",
        "Nothing has to be done; results differ by the rounding of the other precision.",
    ),
    # NetX and Lava -----------------------------------------------------------------------
    "netx.not-netx": CodeInfo(
        "this is not a NetX file",
        "Give a .net file written by lava-dl's export_hdf5, or by `snnir convert --to netx`.",
    ),
    "netx.missing": CodeInfo(
        "a NetX file lacks something that the loader needs", "Export the network again."
    ),
    "netx.value": CodeInfo(
        "a NetX file holds a value that is not allowed", "Correct it where the file was made."
    ),
    "netx.shape": CodeInfo(
        "shapes in a NetX file do not fit", "Correct them where the file was made."
    ),
    "netx.layer": CodeInfo(
        "a layer of a NetX file cannot be carried over",
        "Export the network without it; Lava does not load it, or skips it in silence.",
    ),
    "netx.neuron": CodeInfo(
        "neurons of a NetX file cannot be carried over", "Export the network with other neurons."
    ),
    "netx.weights": CodeInfo(
        "weights that NetX does not load as they are",
        "Keep them within -127 to 127, or even within -256 to 254; not all 0.",
    ),
    "netx.option": CodeInfo("there is no such option", "Leave it out."),
    "netx.fraction": _warning(
        "numbers whose fractions NetX cuts off", "Round the numbers before exporting them."
    ),
    "netx.clipped": _warning(
        "values out of range, which NetX clips",
        "Nothing has to be done: the network has it clipped.",
    ),
    "netx.ignored": _warning(
        "a field that NetX does not use",
        "Nothing has to be done if the field may be without effect.",
    ),
    "netx.default": _warning(
        "a layer has no neurons; NetX gives it integrators that never fire",
        "Nothing has to be done if that is what is wanted.",
    ),
    "netx.chain": CodeInfo(
        "this is not one chain of layers, which NetX holds",
        "Bring the network into that form before exporting it.",
    ),
    "netx.unsupported": CodeInfo(
        "this cannot be expressed in NetX",
        "Change the node, or run the network on another backend.",
    ),
    "netx.range": CodeInfo(
        "a value is out of the range that NetX and the chip have for it", "Quantise it again."
    ),
    "netx.host": _warning(
        "a part of the model is not in the NetX file",
        "Let the host do it: `snnir run --backend lava` does.",
    ),
    "lava.record": CodeInfo(
        "this cannot be recorded in Lava", "Record what neurons send, or one of their states."
    ),
    "lava.failed": CodeInfo(
        "a run in Lava failed", "See the message; `pip check` tells whether its versions fit."
    ),
    "lava.timeout": CodeInfo(
        "there is no sign of life from Lava",
        "Give it more time with option timeout, or fewer neurons.",
    ),
    # GeNN ------------------------------------------------------------------------------------
    "genn.operator": CodeInfo(
        "no population of GeNN can carry this operator out",
        "Convert the network that it came from, or run it with --backend reference.",
    ),
    "genn.shape": CodeInfo(
        "a length is not a number, which GeNN needs", "Give the model's symbols numbers."
    ),
    "genn.delay": CodeInfo("a delay is longer than GeNN can hold", "Shorten it."),
    "genn.missing": CodeInfo(
        "the package PyGeNN is not installed", "Install it as its documentation says."
    ),
    "genn.version": CodeInfo(
        "this release of PyGeNN is not supported", "Install one that is, as upstream says."
    ),
    "genn.defect": CodeInfo(
        "this build of PyGeNN has a defect that changes results", "Build it again."
    ),
    "genn.backend": CodeInfo(
        "this PyGeNN cannot run that backend here",
        "Choose another one, or build PyGeNN for it.",
    ),
    "genn.compiler": CodeInfo(
        "a program that GeNN calls is missing", "Install it; CXX names another compiler."
    ),
    "genn.build": CodeInfo(
        "the code that GeNN generated was not built or loaded", "See what the compiler printed."
    ),
    "genn.script": CodeInfo(
        "a script without snnir cannot compute this",
        "Run the model itself with `snnir run --backend genn`, or leave this part to the caller.",
    ),
    "genn.cache": _warning(
        "the compiled model could not be kept",
        "SNNIR_CACHE_DIR names another folder; until then every run compiles.",
    ),
}
