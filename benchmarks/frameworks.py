"""The trained perceptron in other frameworks, with the same weights: what a server of "any model" has to serve.

The golden predictions are those of the torch module, so a framework that computes something else is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.workloads.perceptron import depth


def layers(folder: str) -> list[tuple[Any, Any]]:
    """Weight (outputs, inputs) and bias of every layer, first to last."""
    import numpy

    arrays = {path.stem.removeprefix("weight-"): numpy.load(path) for path in Path(folder).glob("weight-*.npy")}
    weights = sorted((name for name in arrays if name.endswith(".weight")), key=depth)
    return [(arrays[name], arrays[name.replace(".weight", ".bias")]) for name in weights]


def scikit_learn(folder: str, threads: int) -> Callable[[Any], Any]:
    """An `MLPRegressor` that was given its weights instead of being fitted."""
    import numpy
    from sklearn.neural_network import MLPRegressor

    given = layers(folder)
    model = MLPRegressor([len(bias) for _, bias in given[:-1]], activation="relu")
    model.coefs_, model.intercepts_ = [weight.T for weight, _ in given], [bias for _, bias in given]
    model.n_layers_, model.n_outputs_, model.out_activation_ = len(given) + 1, len(given[-1][1]), "identity"
    model.n_features_in_ = given[0][0].shape[1]
    return lambda rows: model.predict(numpy.asarray(rows, "float32"))


def onnx(folder: str, threads: int) -> Callable[[Any], Any]:
    """A graph of Gemm and Relu nodes, run by ONNX Runtime."""
    import numpy
    import onnxruntime
    from onnx import TensorProto, checker, helper, numpy_helper

    given, nodes, constants, last = layers(folder), [], [], "x"
    for index, (weight, bias) in enumerate(given):
        constants += [numpy_helper.from_array(weight, f"w{index}"), numpy_helper.from_array(bias, f"b{index}")]
        nodes.append(helper.make_node("Gemm", [last, f"w{index}", f"b{index}"], [f"h{index}"], transB=1))
        last = f"h{index}"
        if index < len(given) - 1:
            nodes.append(helper.make_node("Relu", [last], [f"r{index}"]))
            last = f"r{index}"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", given[0][0].shape[1]])]
    outputs = [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["rows", len(given[-1][1])])]
    graph = helper.make_graph(nodes, "perceptron", inputs, outputs, constants)
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=helper.find_min_ir_version_for([opset]))
    checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run([last], {"x": numpy.asarray(rows, "float32")})[0]


FRAMEWORKS = {"scikit-learn": scikit_learn, "onnx": onnx}
