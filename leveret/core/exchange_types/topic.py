"""Topic: words between dots; `*` matches exactly one word, `#` zero or more.

The binding keys form a trie of words. A match walks it with a set of nodes: a `#` node stays in the set for every
word, and is entered without consuming one. Each node is in the set at most once, so several `#` cost no more than
their nodes. An empty key has no words; `a.` has two, the second one empty.
Source: rabbit_exchange_type_topic.erl.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.exchange.exchange import Binding
from leveret.core.exchange.router import Router
from leveret.wire.properties import BasicProperties

MAX_ANY_WORDS: Final = 2  # `#` in one binding key


class Node:
    """A node of the trie: its children by word, and the bindings whose key ends here."""

    __slots__ = ("any_words", "bindings", "is_any_words", "met", "one_word", "words")

    def __init__(self, is_any_words: bool) -> None:
        self.is_any_words = is_any_words  # a `#` node: every further word stays here
        self.words: dict[str, Node] = {}
        self.one_word: Node | None = None  # `*`
        self.any_words: Node | None = None  # `#`
        self.bindings: list[Binding] = []
        self.met: i64 = 0  # the last step of a match that visited this node

    def is_empty(self) -> bool:
        """Whether it has neither children nor bindings."""
        return not (self.words or self.one_word or self.any_words or self.bindings)

    def child(self, word: str) -> Node | None:
        """The child for a word of a binding key."""
        if word == "*":
            return self.one_word
        if word == "#":
            return self.any_words
        return self.words.get(word)

    def set_child(self, word: str, node: Node | None) -> None:
        """Set the child for a word of a binding key, or remove it with None."""
        if word == "*":
            self.one_word = node
        elif word == "#":
            self.any_words = node
        elif node is None:
            del self.words[word]
        else:
            self.words[word] = node


def split(key: str) -> list[str]:
    """The words of a key."""
    return key.split(".") if key else []


class TopicRouter(Router):
    """Binding keys as a trie. Cost of a match: number of words times the active nodes."""

    def __init__(self) -> None:
        super().__init__(every_key=True)
        self._root = Node(False)
        self._step: i64 = 0  # of a match: a unique number for every word

    def check(self, binding: Binding) -> None:
        """Refuse a key with more than two `#`, as RabbitMQ does. Raises: Refusal UNFIT."""
        count = split(binding.key).count("#")
        if count > MAX_ANY_WORDS:
            text = f"Topic binding key '{binding.key}' uses {count} '#' wildcards, at most {MAX_ANY_WORDS} are allowed"
            raise Refusal(UNFIT, text)

    def add(self, binding: Binding) -> None:
        """Add a binding."""
        node = self._root
        for word in split(binding.key):
            child = node.child(word)
            if child is None:
                child = Node(word == "#")
                node.set_child(word, child)
            node = child
        node.bindings.append(binding)

    def remove(self, binding: Binding) -> None:
        """Remove a binding, and the nodes that only it needed."""
        words = split(binding.key)
        path = [self._root]
        for word in words:
            child = path[-1].child(word)
            assert child is not None
            path.append(child)
        path[-1].bindings.remove(binding)
        while words and path[-1].is_empty():
            path.pop()
            path[-1].set_child(words.pop(), None)

    def match(self, key: str, properties: BasicProperties) -> list[Binding]:
        """The bindings whose key matches."""
        nodes: list[Node] = []
        self._step += 1
        self._enter(nodes, self._root)
        for word in split(key):
            following: list[Node] = []
            self._step += 1
            for node in nodes:
                if node.is_any_words:
                    self._enter(following, node)
                named = node.words.get(word)
                if named is not None:
                    self._enter(following, named)
                if node.one_word is not None:
                    self._enter(following, node.one_word)
            nodes = following
            if not nodes:
                return []
        return [binding for node in nodes for binding in node.bindings]

    def _enter(self, nodes: list[Node], node: Node) -> None:
        """Add a node, and the `#` nodes reachable from it without a word, unless already visited."""
        while node.met != self._step:
            node.met = self._step
            nodes.append(node)
            if node.any_words is None:
                return
            node = node.any_words
