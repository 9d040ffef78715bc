"""On Ray: N workers, each with its own replica of the model, on its share of CPUs or its GPU.

    requests ──► Queue ──► worker 1 ──► samples as they come ──► one log
                   ▲  └──► worker N ──►
                   └── what a lost worker had not answered

Nothing is answered twice: what a worker has said stands, and what it has not said when it is lost
is asked of another. A worker that is lost is replaced, up to REPLACEMENTS times without an answer
between. Ctrl-C, or the end of the process, ends the workers.
"""

from __future__ import annotations

import functools
import logging
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench import backends
from fcbench.errors import BackendError, ModelError, UsageError
from fcbench.executors._cluster import Cluster, RayError, RayTaskError, ray
from fcbench.executors._queue import HOPELESS, Queue
from fcbench.executors._replica import About, Refusal, Replica, versions
from fcbench.text import shorten
from fcbench.types import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fcbench.backends import ModelOptions
    from fcbench.executors import Where
    from fcbench.types import Backend, ChatTemplate, Decoding, Json, Request

REPLACEMENTS = 3
PATIENCE_SECONDS = 30.0
log = logging.getLogger("fcbench")


def check(model: str, where: Where) -> None:
    """Raise UsageError for what no worker can compute, and for a number of workers left unsaid."""
    if where.workers is None:
        raise UsageError("how many workers?", hint="--workers N, one model replica each")
    if model.startswith("replay:"):
        raise UsageError(f"{model}: recorded outputs are read, there is nothing to share out")


def open_model(model: str | Backend, options: ModelOptions, where: Where) -> RayBackend:
    """Return the backend of replicas, as soon as one of them is loaded.

    UsageError for a model that cannot be copied to another process, or a cluster that does not
    answer; what is wrong with the model is raised as without workers.
    """
    cluster = Cluster(where)
    try:
        options = msgspec.structs.replace(options, n_sharing=cluster.n_sharing)
        if isinstance(model, str):
            opened = functools.partial(backends.open_model, model, options)
            return RayBackend(cluster, opened, model, options.batch_size)
        return RayBackend(
            cluster, functools.partial(_same, model), model.manifest["name"], options.batch_size
        )
    except BaseException:
        cluster.close()
        raise


def _same(model: Backend) -> Backend:
    return model


class _Worker:
    """One actor: what it was asked and has not answered, and where its next word will come."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.is_ready = False
        self.asked: dict[tuple[str, int], Request] = {}
        self.coming: Any = actor.load.remote()
        self.n_losses = 0
        self.knew = False

    def ask(self, requests: Sequence[Request], decoding: Decoding, *, has_answered: bool) -> None:
        """Hand requests over, and tell it whether the model is known to answer."""
        self.knew = has_answered
        self.asked = {(r.case.id, r.repeat): r for r in requests}
        self.coming = self.actor.answer.options(num_returns="streaming").remote(
            list(requests), decoding, has_answered=has_answered
        )

    def hear(self) -> About | list[Sample] | Refusal | None:
        """Return its next word, None where it has said all. RayError if it is lost."""
        if self.is_ready:
            try:
                said: About | list[Sample] | Refusal = ray.get(next(self.coming))
            except StopIteration:
                self.coming, self.asked = None, {}
                return None
            return said
        said, self.coming = ray.get(self.coming), None
        return said


class RayBackend:
    """Answers with replicas. It is ready when one is; the others join as they are."""

    def __init__(
        self,
        cluster: Cluster,
        opened: Callable[[], Backend],
        name: str,
        batch_size: int | None,
    ) -> None:
        self._cluster, self._name, self._batch_size = cluster, name, batch_size
        self._first: About | None = None
        self.has_answered = False
        actor = ray.remote(Replica).options(
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus,
            max_restarts=0,  # what a lost worker was asked must go back to the queue first
            scheduling_strategy="SPREAD",
        )
        self._start = functools.partial(
            actor.remote, _pickled(opened, name), ray.cloudpickle, str(Path.cwd())
        )
        self._workers: list[_Worker] = []
        self._end = weakref.finalize(self, _end, self._workers, cluster)
        try:
            self._fill()
            self._first = first = self._await_first()
            # What is not installed here cannot differ.
            here = {name: v for name, v in versions().items() if name in first.versions}
            there = {name: v for name, v in first.versions.items() if name in here}
            self._refuse_unlike("versions", ("this process", here), (first.host, there))
        except BaseException:
            self._end()
            raise
        self.manifest: dict[str, Json] = first.manifest
        self.bos = first.bos
        self.template: ChatTemplate | None = (
            None if first.template is None else ray.cloudpickle.loads(first.template)
        )
        for warning in first.warnings:
            log.warning("%s", warning)

    def answer(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Sample]:
        """Yield one sample a request, as soon as its worker has said it.

        A request whose worker is lost three times is an error. A BackendError of one worker ends
        the run as it does without workers, once the others have said what they are at.
        """
        queue = Queue(requests, self._cluster.n_workers, self._batch_size)
        try:
            yield from self._answer(queue, decoding)
        except BaseException:  # Ctrl-C too: nobody listens any more to what they would answer
            _kill(self._workers)
            raise

    def close(self) -> None:
        """End the workers, and the cluster if it was begun for them."""
        self._end()

    def _answer(self, queue: Queue, decoding: Decoding) -> Iterator[Sample]:
        self._fill()
        failure: BackendError | None = None
        while queue or any(worker.asked for worker in self._workers):
            for worker in self._workers:
                if worker.coming is None and queue and (share := queue.take()):
                    worker.ask(share, decoding, has_answered=self.has_answered)
            for worker in self._ready():
                try:
                    yield from self._hear(worker, queue)
                except BackendError as error:
                    failure = failure or error
                    queue.clear()
        if failure is not None:
            raise failure

    def _hear(self, worker: _Worker, queue: Queue) -> Iterator[Sample]:
        """Yield what a worker has answered by now. Raises what it raises."""
        try:
            said = worker.hear()
        except RayTaskError:
            raise  # not a FcbenchError: with the traceback of the worker
        except RayError as error:
            yield from self._replace(worker, queue, error)
            return
        if isinstance(said, About):
            self._accept(worker, said)
        elif isinstance(said, Refusal):
            left = [*worker.asked.values()]
            worker.asked, worker.coming = {}, None
            refused = said.as_error()
            # Others have answered, who prove that the model can. One that knew of them when it was
            # asked would say the same for ever.
            is_asked_again = self.has_answered and left and not worker.knew
            if not (isinstance(refused, ModelError) and is_asked_again):
                raise refused
            queue.give_back(left)
        for sample in said if isinstance(said, list) else ():
            worker.asked.pop((sample.case_id, sample.repeat), None)
            worker.n_losses = 0
            self.has_answered = self.has_answered or sample.error is None
            yield sample

    def _ready(self) -> list[_Worker]:
        """Return the workers who have something to say, after waiting until there is one."""
        by_coming = {w.coming: w for w in self._workers if w.coming is not None}
        while True:
            if not by_coming:
                return []
            found, _ = ray.wait([*by_coming], num_returns=1, timeout=PATIENCE_SECONDS)
            if found:
                break
            if not any(worker.is_ready for worker in self._workers):
                log.warning("no worker is ready yet: %s", self._cluster.describe_lack())
        found, _ = ray.wait([*by_coming], num_returns=len(by_coming), timeout=0)
        return [by_coming[coming] for coming in found]

    def _accept(self, worker: _Worker, about: About) -> None:
        """Let a worker answer. ModelError if its model is not the one of the first."""
        worker.is_ready = True
        first = self._first or about
        for name in ("manifest", "versions"):
            here, there = getattr(first, name), getattr(about, name)
            self._refuse_unlike(name, (first.host, here), (about.host, there))

    def _refuse_unlike(
        self, what: str, one: tuple[str, dict[str, Json]], other: tuple[str, dict[str, Json]]
    ) -> None:
        """Raise ModelError where two processes, each a name and what is there, do not agree."""
        (here, mine), (there, theirs) = one, other
        for key in sorted(mine | theirs):
            if mine.get(key) != theirs.get(key):
                raise ModelError(
                    f"{self._name}: {here} and {there} differ in {what}.{key}: "
                    f"{mine.get(key)}, {theirs.get(key)}",
                    hint="one --dtype for all; the same files and packages on every node",
                )

    def _await_first(self) -> About:
        """Return what the first worker says that is loaded. Raises what is wrong with the model."""
        queue = Queue([], 1, None)
        while True:
            for worker in self._ready():
                try:
                    said = worker.hear()
                except RayTaskError:
                    raise
                except RayError as error:
                    [*self._replace(worker, queue, error)]
                    continue
                if isinstance(said, Refusal):
                    raise said.as_error()
                if isinstance(said, About):
                    self._accept(worker, said)
                    return said

    def _fill(self) -> None:
        """Begin as many workers as there are none."""
        while len(self._workers) < self._cluster.n_workers:
            self._workers.append(_Worker(self._start()))

    def _replace(self, lost: _Worker, queue: Queue, error: RayError) -> Iterator[Sample]:
        """Put another worker in a lost one's place, and yield the requests that are given up."""
        ray.kill(lost.actor, no_restart=True)  # if it is only out of reach, it must not go on
        why = shorten(str(error).strip().splitlines()[-1])
        left = [*lost.asked.values()]
        self._workers.remove(lost)
        hopeless = queue.lose(left)
        if hopeless or lost.n_losses < REPLACEMENTS:
            log.warning("a worker was lost, another takes its %d cases: %s", len(left), why)
            worker = _Worker(self._start())
            # Where a request is to blame, the place is not.
            worker.n_losses = 0 if hopeless else lost.n_losses + 1
            self._workers.append(worker)
        elif self._workers:
            log.warning("a worker was lost %d times, its place is given up", REPLACEMENTS + 1)
        for request in hopeless:
            yield Sample(
                request.case.id,
                request.repeat,
                prompt_sha256=request.prompt_sha256,
                error=f"the worker was lost {HOPELESS} times while it answered this: {why}",
            )
        if not self._workers:
            kind = BackendError if lost.is_ready or self.has_answered else ModelError
            raise kind(f"{self._name}: workers are lost as often as they are replaced: {why}")


def _pickled(opened: Callable[[], Backend], name: str) -> bytes:
    try:
        return bytes(ray.cloudpickle.dumps(opened))
    # The boundary to somebody's object: it says itself what happens when it is pickled.
    except Exception as error:
        raise UsageError(
            f"{name} cannot be copied to a worker: {error}",
            hint="a model's name, or a function at the top of a module, can be",
        ) from error


def _kill(workers: list[_Worker]) -> None:
    """End workers, whatever they are at, and forget them."""
    while workers:
        ray.kill(workers.pop().actor, no_restart=True)


def _end(workers: list[_Worker], cluster: Cluster) -> None:
    if ray.is_initialized():
        _kill(workers)
    cluster.close()
