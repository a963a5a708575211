"""The server's part in secure aggregation: it relays signed keys, and unmasks one sum at a time.

docs/privacy.md says what a server that keeps to this learns, and what one that does not.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from runtime.contract import LEAST_COHORT, ExitCode, FedstackError
from runtime.errors import printable
from runtime.link import flower
from runtime.link.grid_base import as_they_come
from runtime.messages import ARRAYS, MASKED, SECURE, MessageType, Secure
from runtime.privacy import averaged_reply, fixed_point, masking, summed_vector
from runtime.privacy.averaged_reply import NotAveragedError
from runtime.privacy.fixed_point import Vector, Words
from runtime.privacy.summed_vector import SummedVector
from runtime.server.aggregation.replies import arrays_of, configs_of, without_arrays
from runtime.server.aggregation.validation import Expected, check_reply, decoded, reason_of
from runtime.updates import UpdateRefusedError

NO_ANSWER: Final = "its answer cannot be summed"


@dataclass(frozen=True, eq=False)
class Summed:
    """A sum, whose answers are in it, and why the others' are not."""

    vector: SummedVector
    replies: list[Message]
    """Without their arrays, which are in the sum."""
    lost: Mapping[int, str]


class SecureAggregation:
    """The sums of one run, over members that can only become fewer.

    Parameters
    ----------
    run_id
        Names the run; the members' signatures are for it.
    names
        The client's name for each of Flower's node ids.
    seconds
        Asked each time how long answers may be waited for.
    """

    def __init__(
        self, grid: Grid, run_id: str, names: Callable[[int], str], seconds: Callable[[], float]
    ) -> None:
        self._grid, self._run_id, self._names, self._seconds = grid, run_id, names, seconds
        self._keys: dict[int, ConfigRecord] = {}
        self._lost: dict[int, str] = {}
        self._has_group = False

    @property
    def members(self) -> list[int]:
        """The nodes whose answers are summed."""
        return sorted(self._keys)

    def open(self, nodes: Iterable[int]) -> Mapping[int, str]:
        """Collect the members' signed keys and tell them to all; return who is lost, and why.

        Raises
        ------
        FedstackError
            With ExitCode.QUORUM, when too few are left.
        """
        self._lost = {}
        self._keys = self._step(MessageType.SECURE_KEYS, nodes, {}, _is_key)
        self._tell_members()
        return self._lost

    def sum(self, messages: Sequence[Message], like: ArrayRecord, metrics: frozenset[str]) -> Summed:
        """Ask a question of the members whom messages are for, and return the sum of their answers.

        A member that does not answer, or does not help to unmask, is a member no more; the others are asked
        again, and answer the same.

        Parameters
        ----------
        messages
            What each is asked, as it would be without secure aggregation: the same of all.
        like
            Arrays of the names and shapes of an answer.
        metrics
            What an answer may say in the clear.

        Raises
        ------
        FedstackError
            With ExitCode.QUORUM, when too few are left, naming who was lost and why.
        """
        kind, arrays = _one_question(messages), {name: array.numpy() for name, array in like.items()}
        shape = (summed_vector.words_of(kind), summed_vector.size(arrays))
        self._lost = {}
        self._remove(set(self._keys) - {message.metadata.dst_node_id for message in messages}, "not asked")
        while True:
            self._enough()
            sum_id = secrets.token_hex(8)
            replies, total = self._answers(messages, sum_id, shape, metrics)
            if self._remove_all_but(replies):
                continue
            seeds = self._seeds(sum_id, replies)
            if self._remove_all_but(seeds):
                continue
            vector = summed_vector.unpack(kind, _unmasked(total, seeds.values()), arrays)
            return Summed(vector, list(replies.values()), dict(self._lost))

    def make_group(self) -> None:
        """Let the members have a key in common that this server does not see: guarded sums need it."""
        while not self._has_group:
            self._enough()
            first = min(self._keys, key=self._names)
            made = self._step(MessageType.SECURE_GROUP, [first], {}, _is_group)
            if not made:
                self._remove([first], "no reply in time")
                continue
            told = {Secure.GROUP: made[first][Secure.GROUP]}
            taken = self._step(MessageType.SECURE_GROUP, self._keys, told, lambda _: True)
            self._has_group = not self._remove_all_but(taken)

    def average(self, messages: Sequence[Message]) -> tuple[RecordDict, list[int], Mapping[int, str]]:
        """Ask a question of any app's and return the mean answer, weighted by examples.

        What the answers are made of, the members say themselves, and all must say the same.

        Returns
        -------
        content, nodes, lost
            What a reply holds that stands for all; whose answers are in it; why others' are not.
        """
        self._lost = {}
        while True:
            self._enough()
            sum_id = secrets.token_hex(8)
            answers, layout, total = self._described_answers(messages, sum_id)
            if self._remove_all_but(answers):
                continue
            seeds = self._seeds(sum_id, answers)
            if self._remove_all_but(seeds):
                continue
            try:
                content = averaged_reply.unpack(averaged_reply.read(layout), _unmasked(total, seeds.values()))
            except NotAveragedError as error:
                raise FedstackError(
                    ExitCode.SECURE_AGGREGATION, f"A sum is no answer: {error}.", "See the clients' own logs."
                ) from None
            return content, sorted(answers), dict(self._lost)

    def _described_answers(
        self, messages: Sequence[Message], sum_id: str
    ) -> tuple[dict[int, Message], str, Words]:
        """Return each member's answer without its numbers, what most say that they are, and their sum.

        Who says something else is lost, and all are asked again: only a sum of one layout is ever used.
        """
        found: dict[int, Message] = {}
        layouts: dict[int, str] = {}
        total = np.zeros((fixed_point.WORDS, 0), dtype=np.uint64)
        for reply in as_they_come(self._grid, self._asked(messages, sum_id), self._seconds()):
            node = reply.metadata.src_node_id
            try:
                layouts[node], words = _described(reply)
            except (NotAveragedError, UpdateRefusedError) as error:
                self._lost[node] = printable(error)
                continue
            if not found:
                total = words.copy()
            elif total.shape == words.shape:
                fixed_point.add_to(total, words)
            found[node] = without_arrays(reply)
            del reply, words
        told = Counter(layouts[node] for node in sorted(layouts))
        usual = told.most_common(1)[0][0] if told else ""
        for node in [node for node, layout in layouts.items() if layout != usual]:
            other = f"it has {layouts[node][:200]}, others have {usual[:200]}"
            self._lost[node] = f"{NO_ANSWER}: {printable(other)}"
            del found[node]
        return dict(sorted(found.items())), usual, total

    def _asked(self, messages: Sequence[Message], sum_id: str) -> list[Message]:
        told = self._record({Secure.SUM: sum_id})
        return [
            Message(RecordDict({**one.content, SECURE: told}), node, one.metadata.message_type)
            for one in messages
            if (node := one.metadata.dst_node_id) in self._keys
        ]

    def _answers(
        self, messages: Sequence[Message], sum_id: str, shape: tuple[int, int], metrics: frozenset[str]
    ) -> tuple[dict[int, Message], Words]:
        """Return each member's answer without its numbers, and their sum: of whole numbers, in any order."""
        found: dict[int, Message] = {}
        total = np.zeros(shape, dtype=np.uint64)
        expected = Expected(ArrayRecord({MASKED: Array(total)}))
        for reply in as_they_come(self._grid, self._asked(messages, sum_id), self._seconds()):
            node = reply.metadata.src_node_id
            try:
                check_reply(reply, metrics, expected)
            except UpdateRefusedError as error:
                self._lost[node] = printable(error)
            else:
                fixed_point.add_to(total, decoded(arrays_of(reply.content)[ARRAYS])[MASKED])
                found[node] = without_arrays(reply)
            del reply
        return dict(sorted(found.items())), total

    def _seeds(self, sum_id: str, replies: Mapping[int, Message]) -> dict[int, bytes]:
        """Ask for the seeds of the members' own masks, each the one that its answer committed to."""
        told = self._step(MessageType.SECURE_UNMASK, self._keys, {Secure.SUM: sum_id}, _is_seed)
        seeds = {node: bytes(said[Secure.SEED]) for node, said in told.items()}  # type: ignore[arg-type]
        for node, seed in list(seeds.items()):
            record = configs_of(replies[node].content).get(SECURE)
            if record is None or record.get(Secure.COMMITMENT) != masking.commitment(seed):
                self._lost[node] = "the seed of its mask is not the one that it committed to"
                del seeds[node]
        return seeds

    def _tell_members(self) -> None:
        """Tell every member who the others are, until all who are left agree."""
        self._has_group = False
        while True:
            self._enough()
            said = list(self._keys.values())
            told = {
                Secure.NAMES: [self._names(node) for node in self._keys],
                Secure.KEYS: [one[Secure.KEY] for one in said],
                Secure.LEASTS: [one[Secure.LEAST] for one in said],
                Secure.WHOLES: [one[Secure.WHOLE] for one in said],
                Secure.SIGNATURES: [one[Secure.SIGNATURE] for one in said],
            }
            agreed = self._step(MessageType.SECURE_MEMBERS, self._keys, told, lambda _: True)
            if agreed.keys() == self._keys.keys():
                return
            self._keys = {node: key for node, key in self._keys.items() if node in agreed}

    def _step(
        self,
        kind: MessageType,
        nodes: Iterable[int],
        told: Mapping[Secure, Any],
        sound: Callable[[ConfigRecord], bool],
    ) -> dict[int, ConfigRecord]:
        """Take one of the protocol's own steps; return who answered what."""
        content = RecordDict({SECURE: self._record(told)})
        messages = [Message(content, node, kind.value) for node in nodes]
        found: dict[int, ConfigRecord] = {}
        for reply in self._grid.send_and_receive(messages, timeout=self._seconds()):
            node = reply.metadata.src_node_id
            if reply.has_error():
                self._lost[node] = reason_of(reply)
            elif (said := configs_of(reply.content).get(SECURE)) is None or not sound(said):
                self._lost[node] = f"its answer to {kind.value} is not what it should be"
            else:
                found[node] = said
        for node in {message.metadata.dst_node_id for message in messages} - found.keys():
            self._lost.setdefault(node, "no reply in time")
        return dict(sorted(found.items()))

    def _record(self, told: Mapping[Secure, Any]) -> ConfigRecord:
        return ConfigRecord({Secure.RUN.value: self._run_id, **{k.value: v for k, v in told.items()}})

    def _remove_all_but(self, there: Mapping[int, Any]) -> bool:
        """Go on without the members that are not there; return whether there were any."""
        return self._remove(self._keys.keys() - there.keys(), "no reply in time")

    def _remove(self, nodes: Iterable[int], reason: str) -> bool:
        gone = sorted(nodes)
        for node in gone:
            self._lost.setdefault(node, reason)
            del self._keys[node]
        if gone:
            self._tell_members()
        return bool(gone)

    def _enough(self) -> None:
        if len(self._keys) < (least := self._least()):
            why = [f"{self._names(node)}: {reason}" for node, reason in sorted(self._lost.items())]
            wanted = sorted(self._names(n) for n, said in self._keys.items() if said[Secure.LEAST] == least)
            needed = f"are needed by {', '.join(wanted)}" if least > LEAST_COHORT else "are needed"
            raise FedstackError(
                ExitCode.QUORUM,
                f"{len(self._keys)} members are left to be summed, {least} {needed} "
                f"({'; '.join(why) or 'nobody else answered'}).",
                "Mend the clients named, then run again with --resume; only the members' owners can let sums "
                "be of fewer (min_cohort in docs/privacy.md).",
            )

    def _least(self) -> int:
        """Return how many members a sum has at least, as all who are left want it."""
        return max((LEAST_COHORT, *(int(str(said[Secure.LEAST])) for said in self._keys.values())))


def _described(reply: Message) -> tuple[str, Words]:
    """Return what a member says that its masked answer is, and that, or refuse it."""
    if reply.has_error():
        raise UpdateRefusedError(reason_of(reply))
    try:
        layout = str(configs_of(reply.content)[SECURE][Secure.LAYOUT])
        words = decoded(arrays_of(reply.content)[ARRAYS])[MASKED]
        shape = (fixed_point.WORDS, averaged_reply.length_of(averaged_reply.read(layout)))
        if words.dtype != np.uint64 or words.shape != shape:
            raise NotAveragedError(f"it is {words.dtype} of shape {words.shape}, expected {shape}")
    except (KeyError, NotAveragedError, UpdateRefusedError) as error:
        raise NotAveragedError(f"{NO_ANSWER}: {error}") from error
    return layout, words


def _unmasked(total: Words, seeds: Iterable[bytes]) -> Vector:
    """Return what is left of a sum of answers when the members' own masks are taken off it, one at a time."""
    for seed in seeds:
        fixed_point.add_to(total, fixed_point.negative(masking.expand(seed, *total.shape)))
    return fixed_point.decode(total)


def _is_key(said: ConfigRecord) -> bool:
    key, signature = said.get(Secure.KEY), said.get(Secure.SIGNATURE)
    keys = isinstance(key, bytes) and len(key) == masking.KEY_BYTES and isinstance(signature, bytes)
    return keys and type(said.get(Secure.LEAST)) is int and type(said.get(Secure.WHOLE)) is bool


def _is_group(said: ConfigRecord) -> bool:
    sealed = said.get(Secure.GROUP)
    return isinstance(sealed, list) and all(isinstance(one, bytes) for one in sealed)


def _is_seed(said: ConfigRecord) -> bool:
    return isinstance(said.get(Secure.SEED), bytes)


def _one_question(messages: Sequence[Message]) -> str:
    """Return the kind of what is asked; refuse to ask different things, whose masks would not cancel."""
    first = messages[0]
    for message in messages[1:]:
        if message.content is not first.content and flower.question_of(message) != flower.question_of(first):
            raise FedstackError(
                ExitCode.SECURE_AGGREGATION,
                "Clients are asked different things, whose answers cannot be summed.",
                "Send one content to all, or run with an owner's `updates: plain`.",
            )
    return str(first.metadata.message_type)
