"""gRPC: the Open Inference Protocol (V2) with tensors as raw bytes, and TorchServe's own service; one channel."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, BinaryIO

import grpc
import grpc.aio
import numpy
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tritonclient.grpc import service_pb2

from assay.load import CLOSED, LEAD_NS, TIMEOUT, Log, Recorder, Timer

if TYPE_CHECKING:
    from assay.transport import Codec

OPTIONS = [("grpc.enable_http_proxy", 0)]
TYPES = {"float32": "FP32", "float64": "FP64", "int64": "INT64"}
# Statuses of answers that are not right, as the table `requests` keeps them: 1000 and gRPC's own code.
STATUS = 1000


class Grpc:
    """One model of one server; see `assay.transport.Transport`."""

    method = "/inference.GRPCInferenceService/ModelInfer"

    def __init__(self, host: str, port: int, model: str, payloads: numpy.ndarray) -> None:
        self.host, self.port, self.model = host, port, model
        self.requests = [self.encode(rows) for rows in payloads]

    def encode(self, rows: numpy.ndarray) -> bytes:
        request = service_pb2.ModelInferRequest(model_name=self.model)
        request.inputs.add(name="x", datatype=TYPES[rows.dtype.name], shape=rows.shape)
        request.raw_input_contents.append(numpy.ascontiguousarray(rows).tobytes())
        return bytes(request.SerializeToString())

    def decode(self, body: bytes) -> numpy.ndarray:
        """The first output, flat. Raises ValueError where there is none."""
        try:
            answer = service_pb2.ModelInferResponse.FromString(body)
        except Exception as fault:
            raise ValueError(f"not a ModelInferResponse: {fault}") from fault
        if answer.raw_output_contents:
            kinds = {short: name for name, short in TYPES.items()}
            kind = kinds.get(answer.outputs[0].datatype) if answer.outputs else None
            if kind is None:
                raise ValueError("an output of a type that is not known")
            return numpy.frombuffer(answer.raw_output_contents[0], kind).astype(numpy.float64)
        if not answer.outputs:
            raise ValueError("no output")
        contents = answer.outputs[0].contents
        return numpy.asarray(contents.fp32_contents or contents.fp64_contents, dtype=numpy.float64)

    def listens(self, timeout_s: float) -> None:
        socket.create_connection((self.host, self.port), timeout_s).close()

    def ask(self, payload: int, timeout_s: float) -> tuple[int, bytes]:
        with grpc.insecure_channel(f"{self.host}:{self.port}", OPTIONS) as channel:
            try:
                return 200, channel.unary_unary(self.method)(self.requests[payload], timeout=timeout_s)
            except grpc.RpcError as error:
                if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise ConnectionError(error.details()) from error
                return STATUS + error.code().value[0], str(error.details()).encode()

    def generator(self, bodies: BinaryIO, limit: int, timeout_s: float) -> GrpcGenerator:
        return GrpcGenerator(f"{self.host}:{self.port}", self.method, self.requests, bodies, timeout_s)


class TorchServe(Grpc):
    """TorchServe's native service, which carries the bodies of its REST route as bytes."""

    method = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"

    def __init__(self, host: str, port: int, model: str, codec: Codec, payloads: numpy.ndarray) -> None:
        self.codec = codec
        self.request, self.response = torchserve_messages()
        super().__init__(host, port, model, payloads)

    def encode(self, rows: numpy.ndarray) -> bytes:
        request = self.request(model_name=self.model, input={"data": self.codec.encode(rows)})
        return bytes(request.SerializeToString())

    def decode(self, body: bytes) -> numpy.ndarray:
        try:
            answer = self.response.FromString(body)
        except Exception as fault:
            raise ValueError(f"not a PredictionResponse: {fault}") from fault
        return self.codec.decode(answer.prediction)


def torchserve_messages() -> tuple[Any, Any]:
    """PredictionsRequest and PredictionResponse, after `inference.proto` in TorchServe's model-server.jar."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="inference.proto", package="org.pytorch.serve", syntax="proto3")
    request = file.message_type.add(name="PredictionsRequest")
    entry = request.nested_type.add(name="InputEntry", options=descriptor_pb2.MessageOptions(map_entry=True))
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    request.field.add(name="model_name", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    request.field.add(
        name="input",
        number=3,
        type=field.TYPE_MESSAGE,
        label=field.LABEL_REPEATED,
        type_name=".org.pytorch.serve.PredictionsRequest.InputEntry",
    )
    response = file.message_type.add(name="PredictionResponse")
    response.field.add(name="prediction", number=1, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("PredictionsRequest", "PredictionResponse")
    kinds = [pool.FindMessageTypeByName(f"org.pytorch.serve.{name}") for name in names]
    first, second = (message_factory.GetMessageClass(kind) for kind in kinds)
    return first, second


class GrpcGenerator(Recorder):
    """As `assay.load.Generator`, over one HTTP/2 channel: a request never waits for a connection."""

    def __init__(self, target: str, name: str, requests: list[bytes], bodies: BinaryIO, timeout_s: float) -> None:
        self.target, self.name, self.requests, self.bodies, self.timeout_s = target, name, requests, bodies, timeout_s
        self.tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Nothing is held between two loads."""

    def open_loop(
        self, moments: numpy.ndarray, payloads: numpy.ndarray, on_start: Callable[[int], None], start: int = 0
    ) -> Log:
        """See `assay.load.Generator.open_loop`."""

        async def work() -> int:
            first = start or time.perf_counter_ns() + LEAD_NS
            on_start(first)
            self.prepare(moments + first, payloads)
            total = len(self.due)
            if not total:
                return 0
            loop, timer, finished = asyncio.get_running_loop(), Timer(), asyncio.Event()
            position = 0

            def fire_due() -> None:
                nonlocal position
                timer.clear()
                now = time.perf_counter_ns()
                while position < total and self.due[position] <= now:
                    self.fire(position, now)
                    position += 1
                    now = time.perf_counter_ns()
                if position < total:
                    timer.set(self.due[position])
                else:
                    finished.set()

            loop.add_reader(timer.descriptor, fire_due)
            timer.set(self.due[0])
            try:
                await finished.wait()
                while self.tasks:
                    await asyncio.wait(self.tasks)
            finally:
                loop.remove_reader(timer.descriptor)
                timer.close()
            return total

        return self.measure(work)

    def closed_loop(self, concurrency: int, seconds: float, payloads: numpy.ndarray) -> Log:
        """See `assay.load.Generator.closed_loop`."""

        async def work() -> int:
            self.prepare(numpy.zeros(len(payloads)), payloads)
            deadline = time.perf_counter_ns() + int(seconds * 1e9)
            position = 0
            while True:
                now = time.perf_counter_ns()
                while len(self.tasks) < concurrency and position < len(payloads) and now < deadline:
                    self.due[position] = now
                    self.fire(position, now)
                    position += 1
                    now = time.perf_counter_ns()
                if not self.tasks:
                    return position
                await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)

        return self.measure(work)

    def measure(self, work: Callable[[], Awaitable[int]]) -> Log:
        async def within_channel() -> int:
            async with grpc.aio.insecure_channel(self.target, OPTIONS) as channel:
                self.method = channel.unary_unary(self.name)
                with self.undisturbed():
                    return await work()

        return self.log(asyncio.run(within_channel()), connections=1)

    def fire(self, request: int, now: int) -> None:
        self.fired[request] = now
        task = asyncio.get_running_loop().create_task(self.one(request))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def one(self, request: int) -> None:
        self.sent[request] = time.perf_counter_ns()
        try:
            body = await self.method(self.requests[self.payloads[request]], timeout=self.timeout_s)
        except grpc.aio.AioRpcError as error:
            self.done[request] = time.perf_counter_ns()
            code = error.code()
            kinds = {grpc.StatusCode.DEADLINE_EXCEEDED: TIMEOUT, grpc.StatusCode.UNAVAILABLE: CLOSED}
            self.status[request] = kinds.get(code, STATUS + code.value[0])
            return
        self.done[request] = time.perf_counter_ns()
        self.status[request] = 200
        self.size[request] = self.bodies.write(body)
        self.order.append(request)
