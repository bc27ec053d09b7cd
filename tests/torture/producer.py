"""A producer in a process of its own: it notes what it means to do, does it, and notes the answer.

An id counts as acknowledged once its line stands in the side file, after the call returned.
"""

import json
import os
import select
import signal
import time
from typing import Any

import jobd
from jobd.errors import JobdError, Refused
from jobd.store import batch_reading
from tests.torture.journal import appended
from tests.torture.plan import Action, Order

INSISTS_FOR = 4.0
RESOLVED = ("completed", "failed", "cancelled")


class Producer:
    """Works off its actions, each at its time after `began`."""

    def __init__(self, root: str, actions: tuple[Action, ...], began: float) -> None:
        self._root = root
        self._actions = actions
        self._began = began
        self._ids: list[int] = []
        self._file = -1

    def work(self) -> None:
        """In the process that is forked for it: no descriptor of the parent's is open there."""
        self._file = appended(f"{self._root}/acknowledged")
        with jobd.Queue(f"{self._root}/jobd.db") as queue:
            for action in self._actions:
                self._wait(self._began + action.at - time.monotonic())
                try:
                    self._act(queue, action)
                except JobdError as error:
                    self._write(kind="error", verb=action.verb, error=str(error))

    def _act(self, queue: jobd.Queue, action: Action) -> None:
        match action.verb:
            case "enqueue":
                self._enqueue(queue, action.orders[0])
            case "enqueue_twice":
                for _ in range(2):
                    self._enqueue(queue, action.orders[0], request_id=action.orders[0].tag)
            case "enqueue_many":
                self._enqueue_many(queue, action.orders)
            case "batch":
                self._batch(queue, action.orders, action.pick)
            case "enqueue_and_die":
                self._enqueue(queue, action.orders[0])
                os.kill(os.getpid(), signal.SIGKILL)
            case "enqueue_and_insist":
                self._insist(queue, self._enqueue(queue, action.orders[0]))
            case "cancel_new":
                self._request(queue, "cancel", self._enqueue(queue, action.orders[0]))
            case verb if self._ids:
                self._request(queue, verb, self._ids[action.pick % len(self._ids)])

    def _enqueue(self, queue: jobd.Queue, order: Order, **more: Any) -> int:
        called = self._intend(order)
        job_id = queue.enqueue(order.job_type, self._payload(order), **order.options, **more)
        self._acknowledge(order, job_id, called, more.get("request_id"))
        return int(job_id)

    def _enqueue_many(self, queue: jobd.Queue, orders: tuple[Order, ...]) -> None:
        called = min([self._intend(order) for order in orders])
        ids = queue.enqueue_many([(o.job_type, self._payload(o), o.options) for o in orders])
        for order, job_id in zip(orders, ids, strict=True):
            self._acknowledge(order, job_id, called, None)

    def _batch(self, queue: jobd.Queue, orders: tuple[Order, ...], concurrency: int) -> None:
        """Items are acknowledged once the batch is; one of them may be cancelled or retried."""
        called = min([self._intend(order) for order in orders])
        name = orders[0].tag.rpartition(".")[0]
        batch = queue.batch(name, orders[0].job_type, (self._payload(each) for each in orders),
                            concurrency=concurrency or None)
        with queue._connection() as database:
            items = batch_reading.items(database.connection, batch.id)
        for order, item in zip(orders, items, strict=True):
            self._acknowledge(order, jobd.JobId(item["job_id"]), called, None)

    def _insist(self, queue: jobd.Queue, job_id: int) -> None:
        """Ask for a retry as soon as it is parked, whether it still executes or not."""
        until = time.monotonic() + INSISTS_FOR
        while time.monotonic() < until:
            status = queue.get(job_id)["status"]
            if status == "dead_letter" and self._request(queue, "retry", job_id):
                return
            if status in RESOLVED:
                return
            self._wait(0.03)

    def _request(self, queue: jobd.Queue, verb: str, job_id: int) -> bool:
        called = time.monotonic()
        self._write(kind="asking", verb=verb, id=job_id, called=called)
        try:
            replied = getattr(queue, verb)(job_id)
        except Refused:
            return False
        self._write(kind="request", verb=verb, id=job_id, called=called, at=time.monotonic(),
                    status=replied.status, changed=replied.changed)
        return bool(replied.changed)

    def _intend(self, order: Order) -> float:
        called = time.monotonic()
        self._write(kind="intent", tag=order.tag, called=called)
        return called

    def _acknowledge(
        self, order: Order, job_id: "jobd.JobId", called: float, request_id: str | None
    ) -> None:
        self._write(kind="ack", tag=order.tag, id=int(job_id), created=job_id.created,
                    called=called, at=time.monotonic(),
                    unique_key=order.options.get("unique_key"), request_id=request_id)
        self._ids.append(int(job_id))

    def _payload(self, order: Order) -> dict[str, Any]:
        if order.job_type != "exec":
            return order.payload
        argv = [word.format(root=self._root) for word in order.payload["argv"]]
        return {**order.payload, "argv": argv}

    def _write(self, **keys: Any) -> None:
        os.write(self._file, json.dumps(keys).encode() + b"\n")

    @staticmethod
    def _wait(seconds: float) -> None:
        if seconds > 0:
            select.select([], [], [], seconds)
