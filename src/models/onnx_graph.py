"""The encoders of a network as ONNX, written from its weights without PyTorch.

The layers of ``sync_model``, for one clip of any length. Batch norms are folded into the
convolutions before them (Jacob et al. 2018, section 3.2). The audio encoder gives an embedding at
every hop: its layers with a stride of one frame are dilated instead of computed at four phases.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..core.constants import HOPS_PER_FRAME, N_MELS
from .spec import (
    AUDIO_CHANNELS,
    FRAME_FEATURES,
    FRONT_FRAMES,
    GRID_PX,
    N_JOINED,
    VIDEO_CHANNELS,
    ModelSpec,
)

Weights = Mapping[str, np.ndarray]  # by name, as in a checkpoint
OPSET = 17
IR_VERSION = 8  # of that opset
BATCH_NORM_EPSILON = 1e-5  # PyTorch's
MIN_NORM = 1e-12  # likewise, of its ``normalize``
TEMPORAL_BLOCKS = ("none", "tcn")  # those that are convolutions


def has_graph(spec: ModelSpec) -> bool:
    """Whether the network can be written: its temporal blocks are convolutions."""
    return all(member.temporal in TEMPORAL_BLOCKS for member in spec.member_specs)


def video_graph(weights: Weights, spec: ModelSpec) -> bytes:
    """The video encoder: normalised face regions [1, T, height, width] -> embeddings
    [1, T − 4, D].

    Args:
        weights: of the whole network.
        spec: one of which ``has_graph`` is true.

    Raises:
        ValueError: the weights are not those of this network.
    """
    return _ensemble(weights, spec, "video", ["frames", *spec.region_shape], _add_video_member)


def audio_hop_graph(weights: Weights, spec: ModelSpec) -> bytes:
    """The audio encoder: normalised bands [1, 4 T, 40] -> embeddings at every hop of 10 ms,
    [1, 4 (T − 4) − 3, D]. Arguments and errors as those of ``video_graph``."""
    return _ensemble(weights, spec, "audio", ["hops", N_MELS], _add_audio_member)


def _ensemble(
    weights: Weights, spec: ModelSpec, stream: str, input_shape: list,
    add_member: Callable[["_Graph", "_Layers", ModelSpec], str],
) -> bytes:  # fmt: skip
    """The graph of all members of a stream, whose embeddings are joined to one of length 1."""
    graph, embeddings = _Graph(), []
    layers = _Layers({
        name: np.asarray(values, np.float32)
        for name, values in weights.items()
        if name.startswith(f"{stream}.") and not name.endswith(".num_batches_tracked")
    })  # fmt: skip
    for number, member in enumerate(spec.member_specs):
        layers.prefix = f"{stream}." if spec.members == 1 else f"{stream}.members.{number}."
        embeddings.append(add_member(graph, layers, member))
    layers.check_all_used()
    if spec.members > 1:
        joined = graph.add("Concat", *embeddings, axis=2)
        scale = graph.constant(np.float32(spec.members**-0.5))
        embeddings = [graph.add("Mul", joined, scale)]
    return graph.serialise(input_shape, embeddings[0], spec.output_dim)


def _add_video_member(graph: "_Graph", layers: "_Layers", spec: ModelSpec) -> str:
    rows, columns = spec.region_slices(spec.view)
    starts, stops = ([getattr(side, end) for side in (rows, columns)] for end in ("start", "stop"))
    regions = graph.add("Slice", graph.INPUT, *graph.integers(starts, stops, [2, 3]))
    frames = graph.add("Transpose", regions, perm=[1, 0, 2, 3])
    squares = graph.add("SpaceToDepth", frames, blocksize=2)
    # Three frames are stacked: 0 … T − 3, 1 … T − 2, 2 … T − 1.
    to_end = np.iinfo(np.int64).max
    stacked = [
        graph.add("Slice", squares, *graph.integers([first], [stop or to_end], [0]))
        for first, stop in enumerate(range(1 - FRONT_FRAMES, 1))
    ]
    x = graph.add("Concat", *stacked, axis=1)
    c1, c2, c3 = VIDEO_CHANNELS
    channels = 4 * FRONT_FRAMES
    for name, n_outputs, stride in (
        ("stem.1", c1, 2), ("body.0", c2, 2), ("body.1", c2, 1), ("body.2", c3, 2),
    ):  # fmt: skip
        weight, bias = layers.convolution(name, (n_outputs, channels, 3, 3))
        x = graph.add_convolution(x, weight, bias, strides=[stride] * 2, pads=[1] * 4)
        channels = n_outputs
    grid = [(side.stop - side.start) // GRID_PX for side in (rows, columns)]
    weight, bias = layers.convolution("gather", (FRAME_FEATURES, channels, *grid))
    # A kernel that covers its input is a matrix product.
    x = graph.add("Flatten", x, axis=1)
    weight, bias = graph.constant(weight.reshape(len(weight), -1)), graph.constant(bias)
    x = graph.add("Relu", graph.add("Gemm", x, weight, bias, transB=1))
    x = graph.add("Transpose", x, perm=[1, 0])
    x = graph.add("Unsqueeze", x, *graph.integers([0, 2]))
    return _add_embedding(graph, layers, spec, x, FRAME_FEATURES, 1)


def _add_audio_member(graph: "_Graph", layers: "_Layers", spec: ModelSpec) -> str:
    x = graph.add("Transpose", graph.INPUT, perm=[0, 2, 1])
    x = graph.add("Unsqueeze", x, *graph.integers([2]))
    c1, c2, c3 = AUDIO_CHANNELS
    channels = N_MELS
    for number, (n_outputs, kernel) in enumerate(
        ((c1, 3), (c1, 3), (c2, 3), (c2, 3), (c3, HOPS_PER_FRAME))
    ):
        weight, bias = layers.convolution(f"front.{number}", (n_outputs, channels, kernel))
        x = graph.add_convolution(x, weight, bias)
        channels = n_outputs
    return _add_embedding(graph, layers, spec, x, channels, HOPS_PER_FRAME)


def _add_embedding(
    graph: "_Graph", layers: "_Layers", spec: ModelSpec, x: str, channels: int, dilation: int
) -> str:
    """The temporal block and the norm of 1: [1, channels, 1, n] -> [1, n', D].

    Args:
        dilation: columns of ``x`` in a frame.
    """
    kernels = spec.block_kernels if spec.temporal == "tcn" else []
    for number, kernel in enumerate(kernels):  # a dropout follows each
        name = f"temporal.layers.{2 * number}"
        weight, bias = layers.convolution(name, (spec.hidden_dim, channels, kernel))
        x = graph.add_convolution(x, weight, bias, dilations=[1, dilation])
        channels = spec.hidden_dim
    name, kernel = (f"{2 * len(kernels)}", 1) if kernels else ("1", N_JOINED)
    weight, bias = layers.plain(f"temporal.layers.{name}", (spec.embedding_dim, channels, kernel))
    x = graph.add_convolution(x, weight, bias, has_relu=False, dilations=[1, dilation])
    x = graph.add("Squeeze", x, *graph.integers([2]))
    rows = graph.add("Transpose", x, perm=[0, 2, 1])
    length = graph.add("ReduceL2", rows, axes=[2], keepdims=1)
    return graph.add("Div", rows, graph.add("Max", length, graph.constant(np.float32(MIN_NORM))))


class _Layers:
    """The layers of a stream, by the names that a checkpoint has for them.

    Its methods raise ValueError where weights are missing or of another shape.

    Attributes:
        prefix: what the names of the member at hand begin with.
    """

    def __init__(self, weights: dict[str, np.ndarray]):
        self.prefix = ""
        self._weights, self._used = weights, set()

    def convolution(self, name: str, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Weight and bias of a convolution with the batch norm after it folded into it."""
        weight = self._take(f"{name}.0.weight", shape)
        parameters = ("weight", "bias", "running_mean", "running_var")
        scale, shift, mean, variance = (
            self._take(f"{name}.1.{part}", shape[:1]) for part in parameters
        )
        with np.errstate(invalid="ignore"):  # damaged weights give embeddings that are refused
            scale = scale / np.sqrt(variance + np.float32(BATCH_NORM_EPSILON))
        return weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), shift - mean * scale

    def plain(self, name: str, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Weight and bias of a convolution without a norm."""
        return self._take(f"{name}.weight", shape), self._take(f"{name}.bias", shape[:1])

    def check_all_used(self) -> None:
        """Refuse weights that belong to no layer."""
        unused = sorted(self._weights.keys() - self._used)
        if unused:
            raise ValueError(f"no layer has the weights {unused[0]}")

    def _take(self, name: str, shape: Sequence[int]) -> np.ndarray:
        name = self.prefix + name
        if name not in self._weights or self._weights[name].shape != tuple(shape):
            raise ValueError(f"{name} is not there, or not of the shape {shape}")
        self._used.add(name)
        return self._weights[name]


class _Graph:
    """A graph under construction: each method adds a node and gives the name of its result."""

    INPUT, OUTPUT = "values", "embeddings"

    def __init__(self):
        from onnx import helper, numpy_helper

        self._make, self._to_tensor = helper, numpy_helper.from_array
        self._nodes, self._constants = [], []

    def add(self, operator: str, *inputs: str, **attributes) -> str:
        output = f"x{len(self._nodes)}"
        self._nodes.append(self._make.make_node(operator, list(inputs), [output], **attributes))
        return output

    def add_convolution(
        self, x: str, weight: np.ndarray, bias: np.ndarray, has_relu: bool = True, **attributes
    ) -> str:
        """A convolution; one over time becomes one over images of one row, which is faster."""
        if weight.ndim == 3:
            weight = weight[:, :, None]
        x = self.add("Conv", x, self.constant(weight), self.constant(bias), **attributes)
        return self.add("Relu", x) if has_relu else x

    def constant(self, values: np.ndarray) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(self._to_tensor(np.ascontiguousarray(values), name))
        return name

    def integers(self, *lists: list[int]) -> list[str]:
        return [self.constant(np.array(values, np.int64)) for values in lists]

    def serialise(self, input_shape: list, output: str, width: int) -> bytes:
        self._nodes.append(self._make.make_node("Identity", [output], [self.OUTPUT]))
        floats = self._make.TensorProto.FLOAT
        graph = self._make.make_graph(
            self._nodes, "encoder",
            [self._make.make_tensor_value_info(self.INPUT, floats, [1, *input_shape])],
            [self._make.make_tensor_value_info(self.OUTPUT, floats, [1, "windows", width])],
            self._constants,
        )  # fmt: skip
        opset = self._make.make_opsetid("", OPSET)
        model = self._make.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        return model.SerializeToString()
