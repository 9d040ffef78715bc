"""Which requests a worker is handed, and what becomes of a lost worker's."""

import pytest

from fcbench.executors._queue import ALONE, HOPELESS, LEAST, MOST, Queue
from fcbench.types import Case, Request


def requests(n):
    return [Request(Case(f"c{i}", [], [], [[]]), "", "") for i in range(n)]


def ids(taken):
    return [request.case.id for request in taken]


@pytest.mark.parametrize("n", [1, 2, 5, 40, 10_000])
@pytest.mark.parametrize("n_workers", [1, 2, 7])
def test_every_request_is_handed_over_once_in_its_order(n, n_workers):
    queue = Queue(requests(n), n_workers, None)
    shares = []
    while queue:
        shares.append(queue.take())
    assert [name for share in shares for name in ids(share)] == [f"c{i}" for i in range(n)]
    assert all(1 <= len(share) <= MOST for share in shares)


def test_every_worker_gets_something_of_a_small_suite():
    queue = Queue(requests(5), 2, None)
    assert [len(queue.take()), len(queue.take())] == [3, 1]


def test_the_last_shares_are_small_so_that_workers_end_together():
    queue = Queue(requests(10_000), 4, None)
    shares = []
    while queue:
        shares.append(len(queue.take()))
    assert shares[0] == MOST
    assert shares == sorted(shares, reverse=True)
    assert max(shares[-4:]) <= LEAST


def test_a_share_holds_a_batch():
    assert len(Queue(requests(1000), 4, 200).take()) == 200


def test_requests_are_read_no_further_than_workers_are():
    class Endless(list):
        n_read = 0

        def __len__(self):
            return 10**9

        def __iter__(self):
            while True:
                self.n_read += 1
                yield requests(1)[0]

    endless = Endless()
    queue = Queue(endless, 2, None)
    queue.take()
    queue.take()
    assert endless.n_read == 2 * MOST


def test_what_a_lost_worker_left_is_handed_over_before_the_rest():
    queue = Queue(requests(100), 1, None)
    first = queue.take()
    assert queue.lose(first[4:]) == []
    assert ids(queue.take()) == ids(first[4:])
    assert ids(queue.take())[0] == f"c{len(first)}"


def test_only_the_guilty_request_is_given_up():
    queue = Queue(requests(8), 1, None)
    given_up, n_lost = [], 0
    answered = []
    while queue:
        taken = queue.take()
        if "c3" in ids(taken):  # whose worker answers nothing of its share
            n_lost += 1
            given_up += queue.lose(taken)
        else:
            answered += taken
    assert ids(given_up) == ["c3"]
    assert n_lost == HOPELESS
    assert sorted(ids(answered)) == [f"c{i}" for i in range(8) if i != 3]
    assert ALONE < HOPELESS


def test_what_is_given_back_without_blame_counts_as_no_loss():
    queue = Queue(requests(1), 1, None)
    for _ in range(2 * HOPELESS):
        queue.give_back(queue.take())
    assert queue.lose(queue.take()) == []


def test_a_cleared_queue_hands_over_nothing():
    queue = Queue(requests(50), 2, None)
    queue.lose(queue.take())
    queue.clear()
    assert not queue


def test_the_requests_of_a_run_that_is_being_ended_end_early():
    class Ending(list):
        def __len__(self):
            return 1000

    queue = Queue(Ending(requests(20)), 1, None)
    assert len(queue.take()) == 20
    assert not queue
    assert queue.take() == []
