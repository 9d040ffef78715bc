"""Models for workers; a test copies this file to where they are run, so that they can import it."""

import hashlib
import os
import signal
import time
from pathlib import Path

import fcbench
from fcbench.errors import BackendError, ModelError

HOSTILE = "\ud800\x00\x1b[31m\u2028<start_function_call>call:show_map{"


def digest(prompt):
    return hashlib.sha256(prompt.encode()).hexdigest()


def answer(prompts):
    """Texts that depend on the prompt, and every fourth time calls."""
    found = [digest(prompt) for prompt in prompts]
    return [
        [fcbench.Call("show_map", {"query": HOSTILE + sha})]
        if int(sha, 16) % 4 == 0
        else HOSTILE + sha
        for sha in found
    ]


def slow(prompts):
    """The same, slowly, and every prompt that is asked is written down with its process."""
    for prompt in prompts:
        with Path("asked.log").open("a") as file:
            file.write(f"{os.getpid()} {digest(prompt)}\n")
        time.sleep(0.02)
    return answer(prompts)


def falls_over(prompts):
    """Slow; but the first process that is asked for its tenth prompt is killed there."""
    found = slow(prompts)
    mine = [
        line
        for line in Path("asked.log").read_text().splitlines()
        if line.startswith(f"{os.getpid()} ")
    ]
    if len(mine) >= 10:
        try:
            Path("fallen").touch(exist_ok=False)
        except FileExistsError:
            return found
        os.kill(os.getpid(), signal.SIGKILL)
    return found


def poisoned(prompts):
    """One prompt ends every process that reads it."""
    if any("c7?" in prompt for prompt in prompts):
        os.kill(os.getpid(), signal.SIGKILL)
    return slow(prompts)


def n_refused():
    """How often a request was refused; one that goes round for ever comes to an end with it."""
    with Path("refused.log").open("a+") as file:
        file.write("again\n")
        file.seek(0)
        return len(file.readlines()) - 1


class Own:
    """A backend of somebody's own, in whatever mood it was made."""

    template, bos, has_answered = None, "", False

    def __init__(self, mood="well"):
        self.mood = mood
        self.manifest = {"name": f"own-{mood}"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        if self.mood == "unlike":
            self.manifest = {**self.manifest, "dtype": f"float{os.getpid()}"}

    def answer(self, requests, decoding):
        for number, r in enumerate(requests):
            if self.mood == "first batch fails" and r.case.id == "c39" and not self.has_answered:
                raise ModelError("the whole first batch failed", hint="another model")
            if self.mood == "refuses one" and r.case.id == "c39" and n_refused() < 5:
                raise ModelError("no such token")
            if self.mood == "breaks" and number == 3:
                raise BackendError("the server is gone")
            if self.mood == "raises" and number == 3:
                raise ZeroDivisionError("in a user's code")
            if self.mood in ("slow", "unlike"):
                time.sleep(0.1)
            yield fcbench.Sample(
                r.case.id, r.repeat, digest(r.prompt), prompt_sha256=r.prompt_sha256
            )
