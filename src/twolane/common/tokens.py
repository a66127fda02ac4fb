"""Tokens of SASL/OAUTHBEARER: the thread that asks ``oauth_cb`` for them when librdkafka wants one.

One daemon thread per producer with an ``oauth_cb``, named ``twolane-token``. Neither lane has a thread that could do
it: a request to a token service may take seconds, and the safe lane has no thread at all. librdkafka asks when the
client starts, when four fifths of a token's life are over, and 10 s after a failure, also for an idle producer.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from twolane.errors import ClosedProducerError, ForkedProducerError, TwolaneError

if TYPE_CHECKING:
    from twolane.client.handle import Handle
    from twolane.common.logs import ClientLog
    from twolane.config.callbacks import TokenCallback
    from twolane.config.masking import Hider

# Seconds between two looks whether the client is closed; closing wakes the thread.
WAIT = 10.0
# How librdkafka begins to say that there is no token.
NO_TOKEN = "Failed to acquire SASL OAUTHBEARER token"
EXPECTED = "expected (token, seconds since the epoch at which it expires[, principal[, extensions]])"


class Token:
    """What ``oauth_cb`` returned, checked. Shows nothing of itself and cannot be pickled."""

    __slots__ = ("expires", "extensions", "principal", "text")

    def __init__(self, answer: Any) -> None:
        if not isinstance(answer, tuple) or not 2 <= len(answer) <= 4:
            raise TypeError(f"{EXPECTED}, got {type(answer).__name__}")
        self.text, self.expires, principal, extensions = (*answer, None, None)[:4]
        self.principal, self.extensions = principal or "", extensions or {}
        if not isinstance(self.text, str) or not self.text:
            raise TypeError(f"{EXPECTED}, got {type(self.text).__name__} for the token")
        if isinstance(self.expires, bool) or not isinstance(self.expires, (int, float)):
            raise TypeError(f"{EXPECTED}, got {type(self.expires).__name__} for the time")
        if not isinstance(self.principal, str):
            raise TypeError(f"{EXPECTED}, got {type(self.principal).__name__} for the principal")
        if not isinstance(self.extensions, dict) or not all(
            isinstance(part, str) for pair in self.extensions.items() for part in pair
        ):
            raise TypeError(f"{EXPECTED}; the extensions are a dict of str to str")

    def __repr__(self) -> str:
        return "Token([masked])"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a token is a secret and cannot be pickled")


class TokenThread:
    """Answers one client's requests for tokens.

    Parameters
    ----------
    handle : Handle
        Made with ``answers_token_requests=True``.
    oauth_cb : callable
        Called with ``sasl.oauthbearer.config``, in the thread and, where the safe lane looks at a topic's settings by a
        client of its own, in one of confluent-kafka's.
    argument : str
        ``sasl.oauthbearer.config``.
    hide : Hider
        Takes secrets out of texts; it learns the token in use.
    say : ClientLog
    """

    __slots__ = ("_argument", "_handle", "_hide", "_latest", "_oauth_cb", "_say", "_thread")

    def __init__(self, handle: Handle, oauth_cb: TokenCallback, argument: str, hide: Hider, say: ClientLog) -> None:
        self._say = say
        self._handle = handle
        self._oauth_cb = oauth_cb
        self._argument = argument
        self._hide = hide
        self._latest: Token | None = None
        self._thread = threading.Thread(target=self._run, name="twolane-token", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            handle.close()
            raise TwolaneError(f"a producer with oauth_cb needs a thread for it: {error}") from error

    def _run(self) -> None:
        try:
            while True:
                if self._handle.wait_for_token_request(WAIT):
                    self._refresh()
        except (ClosedProducerError, ForkedProducerError):
            return

    def _refresh(self) -> None:
        reason = None
        try:
            token = self._ask()
            reason = self._handle.set_token(
                token.text.encode(),
                int(token.expires * 1000),
                token.principal.encode(),
                [part.encode() for pair in token.extensions.items() for part in pair],
            )
        except (ClosedProducerError, ForkedProducerError):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is: the thread must go on asking
            # As text: a traceback would show the lines of a token service's client, and its exception the token.
            reason = f"oauth_cb: {type(error).__name__}: {error}"
        if reason is not None:
            text = self._hide(reason)
            self._say(logging.ERROR, "%s: %s; asked again in 10 s", NO_TOKEN, text)
            self._handle.set_token_failure(text.replace("\0", " ").encode("utf-8", "replace"))

    def _ask(self) -> Token:
        token = Token(self._oauth_cb(self._argument))
        self._hide.learn("token", token.text)
        self._latest = token
        return token

    def for_another_client(self, _: str = "") -> tuple[str, float, str, dict[str, str]]:
        """Return a token for confluent-kafka's ``oauth_cb``: the one in use, or a new one where that is nearly over."""
        token = self._latest
        if token is None or token.expires < time.time() + WAIT:
            token = self._ask()
        return token.text, float(token.expires), token.principal, token.extensions

    def __repr__(self) -> str:
        return "<TokenThread>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("it holds a token and cannot be pickled")
