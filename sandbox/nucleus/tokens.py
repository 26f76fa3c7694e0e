"""The tokens (SVCUID) by which a nucleus knows its components when they connect."""

import secrets
from typing import Protocol


class Tokens(Protocol):
    """Which token a component is given when a process of it starts, and what it is worth."""

    def issue(self, component: str, start: str) -> str:
        """The token for a process of the component. `start` stands for this start of it."""

    def holder(self, token: str) -> str | None:
        """The component that a token belongs to, None if it is worth nothing."""

    def end(self, start: str) -> None:
        """The process that was started so has ended."""

    def forget(self) -> None:
        """Make all tokens worthless, as a restart of the nucleus does."""


class TokenEachStart:
    """The classic nucleus: each process has a token of its own, as long as it lives."""

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}
        self._tokens: dict[str, str] = {}

    def issue(self, component: str, start: str) -> str:
        token = self._tokens[start] = secrets.token_hex(16)
        self._holders[token] = component
        return token

    def holder(self, token: str) -> str | None:
        return self._holders.get(token)

    def end(self, start: str) -> None:
        self._holders.pop(self._tokens.pop(start, ""), None)

    def forget(self) -> None:
        self._holders.clear()
        self._tokens.clear()


class TokenEachComponent:
    """Nucleus lite: a component has one token of 16 characters for all its processes, until the nucleus restarts."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}

    def issue(self, component: str, start: str) -> str:  # noqa: ARG002
        return self._tokens.setdefault(component, secrets.token_hex(8))

    def holder(self, token: str) -> str | None:
        return next((component for component, its in self._tokens.items() if its == token), None)

    def end(self, start: str) -> None:
        """It stays."""

    def forget(self) -> None:
        self._tokens.clear()
