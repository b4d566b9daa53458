"""A trained model as an ONNX file: rows go in as they are, class and probabilities come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from blocks.errors import NotConfigured
from tasks.federation.decide.models import Shape, Vector

OPSET, IR_VERSION = 17, 8  # what onnxruntime 1.13 and later reads


@dataclass(frozen=True)
class Trained:
    """A model with what its rows go through first: (row - middle) / spread, cut to +-farthest.

    Attributes
    ----------
    middle, spread: (features,). classes: their names, in the order of the outputs.
    """

    shape: Shape
    vector: Vector
    middle: Vector
    spread: Vector
    farthest: float
    classes: tuple[str, ...]


def to_onnx(trained: Trained) -> bytes:
    """The file's bytes, the same for the same model. Input `rows` (N, features) float32; outputs `label` (N,) int64,
    the place of the class, and `probabilities` (N, classes) float32; the names are in the metadata.

    Raises
    ------
    NotConfigured: onnx is not installed.
    """
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise NotConfigured("onnx is not installed", where="--out",
                            fix="pip install 'continuum-fleet[federation]'") from error  # fmt: skip
    constants = {"middle": trained.middle, "spread": trained.spread,
                 "least": np.float32(-trained.farthest), "most": np.float32(trained.farthest)}  # fmt: skip
    nodes = [helper.make_node("Sub", ["rows", "middle"], ["centred"]),
             helper.make_node("Div", ["centred", "spread"], ["scaled"]),
             helper.make_node("Clip", ["scaled", "least", "most"], ["layer0"])]  # fmt: skip
    tensors = trained.shape.tensors(trained.vector)
    for place, (weights, biases) in enumerate(tensors):
        constants |= {f"weights{place}": weights, f"biases{place}": biases}
        nodes.append(helper.make_node("Gemm", [f"layer{place}", f"weights{place}", f"biases{place}"], [f"sum{place}"]))
        if place < len(tensors) - 1:
            nodes.append(helper.make_node("Relu", [f"sum{place}"], [f"layer{place + 1}"]))
    last = f"sum{len(tensors) - 1}"
    nodes += [helper.make_node("Softmax", [last], ["probabilities"], axis=1),
              helper.make_node("ArgMax", [last], ["label"], axis=1, keepdims=0)]  # fmt: skip
    kept = [numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name) for name, value in constants.items()]

    def value(name: str, kind: Any, *size: Any) -> Any:
        return helper.make_tensor_value_info(name, kind, ["N", *size])

    graph = helper.make_graph(
        nodes, "continuum_federated", [value("rows", TensorProto.FLOAT, trained.shape.features)],
        [value("label", TensorProto.INT64), value("probabilities", TensorProto.FLOAT, trained.shape.classes)], kept,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, {"classes": "\n".join(trained.classes),
                                   "digest": trained.shape.digest(trained.vector)})  # fmt: skip
    return bytes(model.SerializeToString(deterministic=True))
