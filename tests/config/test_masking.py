"""No secret, and no part of one, in a repr, an exception, a log line, a traceback or a pickle.

Generated over setting x value x lane; and, for texts that librdkafka writes, over how a secret is echoed.

Hazard F23 of docs/hazards.md.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import pickle
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twolane import ConfigError, SafeProducer, ThroughputProducer, TwolaneError
from twolane.common.logs import ClientLog
from twolane.config.known import SECRET
from twolane.config.masking import MASK, PART, WHOLE, WHOLE_ONLY, Hider, Native, masked, without_credentials
from twolane.safe.topic_settings import TopicCheck

LANES = [SafeProducer, ThroughputProducer]
WORD, OTHER = "hunter2andmore", "Zaphod-of-Beteigeuze"
# What passwords are made of, and what breaks those who take them apart.
VALUES = [
    WORD,
    f"{WORD}\ud800{OTHER}",
    f"\udc80{WORD}",
    f"{WORD},{OTHER}",
    f"'{WORD}\"{OTHER}'",
    f"{WORD}@{OTHER}",
    f"{WORD}:{OTHER}/{WORD}?{OTHER}#{WORD}",
    f"principal={WORD} {OTHER}=1",
    f"principal=ok lifeSeconds={WORD} {OTHER}",
    f"principal=ok \"{WORD}\" '{OTHER}'",
    f"extension_{WORD}={OTHER} {WORD}",
    f"{WORD}\n{OTHER}",
    f"{WORD}\0{OTHER}",
    f"%{WORD}% {{{OTHER}}} %s",
    f"\xe9{WORD}\xe9" * 60,
    f"-----BEGIN PRIVATE KEY-----\n{WORD}\n-----END PRIVATE KEY-----",
]
URLS = [
    "{scheme}user:{word}@127.0.0.1:1{path}",
    "{scheme}{word}:{other}@127.0.0.1:1{path}?key={other}",
    "{scheme}user:{word},{other}@127.0.0.1:1{path}",
    "{scheme}127.0.0.1:1,{word}:{other},{word}@127.0.0.1:2{path}",
    "{scheme}user:{word}/{other}@127.0.0.1:1{path}",
    "{scheme}user:{word}?{other}@127.0.0.1:1{path}",
    "{scheme}user:{word}#{other}@127.0.0.1:1{path}",
    "{scheme}user:{word}@{other}@127.0.0.1:1{path}",
    "{scheme}user:{word}\ud800@127.0.0.1:1{path}",
    "{scheme}127.0.0.1:1{path}?key={word}@{other}",
    "{scheme}user:%68unter{word}%40{other}@127.0.0.1:1{path}",
]
# What each secret needs around it, so that librdkafka reads it.
AROUND: dict[str, dict[str, Any]] = {
    "sasl.oauthbearer.config": {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "OAUTHBEARER",
        "enable.sasl.oauthbearer.unsecure.jwt": True,
    },
    "sasl.password": {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN", "sasl.username": OTHER},
    "sasl.username": {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN", "sasl.password": OTHER},
}
TLS = {"security.protocol": "SSL"}


def cases():
    for key in sorted(SECRET):
        for i, value in enumerate(VALUES):
            yield pytest.param(
                {**AROUND.get(key, TLS), "bootstrap.servers": "127.0.0.1:1", key: value}, id=f"{key}-{i}"
            )
    for i, form in enumerate(URLS):
        servers = form.format(scheme="", path="", word=WORD, other=OTHER)
        yield pytest.param({"bootstrap.servers": servers}, id=f"bootstrap.servers-{i}")
        url = form.format(scheme="https://", path="/token", word=WORD, other=OTHER)
        about = {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanisms": "OAUTHBEARER",
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": "id",
            "sasl.oauthbearer.client.secret": OTHER,
        }
        yield pytest.param(
            {**about, "bootstrap.servers": "127.0.0.1:1", "sasl.oauthbearer.token.endpoint.url": url}, id=f"token-{i}"
        )


def grams(text: str) -> set[str]:
    return {text[i : i + PART] for i in range(len(text) - PART + 1)}


FORBIDDEN = grams(WORD) | grams(OTHER)


def leaks(text: str) -> set[str]:
    return {gram for gram in FORBIDDEN if gram in text}


def told(error: BaseException, seen: set[int] | None = None) -> list[str]:
    """Give all that an exception shows, and those behind it."""
    seen = seen if seen is not None else set()
    if id(error) in seen:
        return []
    seen.add(id(error))
    shown = [str(error), repr(error), repr(error.args), repr(vars(error)), "".join(traceback.format_exception(error))]
    for behind in (error.__cause__, error.__context__):
        if behind is not None:
            shown += told(behind, seen)
    with contextlib.suppress(TypeError, pickle.PicklingError):
        shown.append(pickle.dumps(error).decode("latin-1"))
    return shown


class Kept(logging.Handler):
    """Keeps what is logged, with the arguments as they came."""

    def __init__(self) -> None:
        super().__init__(0)
        self.shown: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.shown += [self.format(record), repr(record.args), repr(vars(record))]


@pytest.fixture
def logged():
    kept, logger = Kept(), logging.getLogger("twolane")
    level = logger.level
    logger.addHandler(kept)
    logger.setLevel(logging.DEBUG)
    yield kept.shown
    logger.removeHandler(kept)
    logger.setLevel(level)


def attributes(producer: Any) -> list[str]:
    """Give what a debugger shows of a producer, two levels deep."""
    shown = []
    for value in vars(producer).values():
        shown.append(repr(value))
        shown += [repr(inner) for inner in getattr(value, "__dict__", {}).values()]
    return shown


@pytest.mark.parametrize("lane", LANES, ids=["safe", "throughput"])
def test_secrets_show_nowhere(lane, logged):
    problems = []
    # What differs between the lanes is little of this: every third case will do.
    for case in list(cases())[:: 1 if lane is SafeProducer else 3]:
        (settings,) = case.values
        shown: list[str] = []
        logged.clear()
        try:
            with lane({**settings, "debug": "conf,security"}, allow_insecure=True) as producer:
                shown += [repr(producer), str(producer), repr(producer.config), *attributes(producer)]
                for way in (pickle.dumps, copy.deepcopy):
                    with pytest.raises(TypeError) as refused:
                        way(producer)
                    shown += told(refused.value)
                with pytest.raises(TwolaneError) as caught:
                    producer.send("t", b"v", timeout=0.05)
                shown += told(caught.value)
                shown.append(repr(producer.stats()))
        except ConfigError as error:
            shown += told(error)
        found = leaks("\n".join([*shown, *logged]))
        if found:
            line = next(text for text in [*shown, *logged] if leaks(text))
            problems.append(f"{case.id}: {sorted(found)[0]} in {line[:300]!r}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("key", ["bootstrap.servers", "sasl.password", "client.id"])
def test_a_lone_surrogate_is_refused_by_the_settings_name(key, monkeypatch):
    settings = {"bootstrap.servers": "127.0.0.1:1", key: "ab\ud800"}
    for lane in LANES:
        with pytest.raises(ConfigError, match="lone surrogate") as caught:
            lane(settings)
        assert caught.value.key == key
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "ab\udc80")
    with pytest.raises(ConfigError, match=r"bootstrap\.servers: holds a lone surrogate"):
        SafeProducer()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("a:1,b:2", "a:1,b:2"),
        ("http://a:1/p", "http://a:1/p"),
        ("http://u:p@a:1/p?x=1", "http://a:1/p"),
        ("u:p@a:1,b:2", "a:1,b:2"),
        ("a:1,u:p@b:2", "b:2"),
        ("https://u:p/q@a", "https://a"),
        ("https://u:p?q@a", "https://[masked]"),
        ("https://a/x#y", "https://a/x"),
    ],
)
def test_places_stay_readable(url, shown):
    assert without_credentials(url) == shown


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=WHOLE, max_size=60)
# What is part of the mask stands in what was masked.
secrets = texts.filter(lambda text: text not in MASK and not grams(text) & grams(MASK))


@given(st.data(), st.sampled_from(sorted(SECRET - WHOLE_ONLY)), secrets, st.text(max_size=20), st.text(max_size=20))
def test_an_echo_of_a_secret_is_hidden_whole_or_in_part(data, key, secret, before, after):
    hide = Hider({key: secret, "client.id": "rdkafka"})
    assert secret not in hide(before + secret + after)
    start = data.draw(st.integers(0, len(secret) - 1))
    stop = data.draw(st.integers(start + 1, len(secret)))
    echo = hide(before + secret[start:stop] + after)
    common = grams(secret) & grams(echo)
    assert not common, echo


@given(secrets.filter(lambda text: "\ufffd" not in text), st.data())
def test_what_librdkafka_could_not_read_of_a_setting_is_hidden_however_short(secret, data):
    hide = Hider({"sasl.oauthbearer.config": secret})
    tail = secret[data.draw(st.integers(0, len(secret) - 1)) :]
    echo = hide(f"Unrecognized sasl.oauthbearer.config beginning at: {tail}")
    behind = echo.partition("beginning at:")[2] if "beginning at:" in echo else echo.partition("config")[2]
    left = [word for word in behind.replace("[masked]", " ").split() if any(letter.isalnum() for letter in word)]
    assert all(word in ("beginning", "at") for word in left), echo


def test_a_user_name_is_hidden_whole_and_not_where_a_word_is_part_of_it():
    hide = Hider({"sasl.username": "kafka-producer"})
    assert hide("rdkafka#producer-1: kafka-producer is not allowed") == "rdkafka#producer-1: [masked] is not allowed"


def test_what_it_says_of_the_settings_form_stays():
    hide = Hider({"sasl.oauthbearer.config": "scope=q"})
    text = "Invalid sasl.oauthbearer.config: no principal=<value>"
    assert hide(text) == text


def test_the_topic_check_hides_what_it_logs(logged, monkeypatch):
    from confluent_kafka import KafkaError, KafkaException, admin

    def refuse(*_: Any) -> None:
        raise KafkaException(KafkaError(KafkaError._INVALID_ARG, f"user:{WORD}@a:1/bootstrap: not resolved"))

    monkeypatch.setattr(admin, "AdminClient", refuse)
    settings = Native({"bootstrap.servers": f"user:{WORD}@a:1"})
    check = TopicCheck(settings, lambda *_: None, ClientLog("me"), Hider(settings))
    check.ask("t")
    check._thread.join()
    assert any("not resolved" in line for line in logged)
    assert not leaks("\n".join(logged))


def test_settings_show_what_may_be_shown_and_are_not_pickled():
    settings = Native({"sasl.password": WORD, "client.id": "me", "bootstrap.servers": f"u:{WORD}@a:1"})
    assert (
        repr(settings)
        == str(settings)
        == "{'sasl.password': '[masked]', 'client.id': 'me', 'bootstrap.servers': 'a:1'}"
    )
    assert masked("sasl.password", WORD) == "[masked]"
    for one in (settings, Hider(settings)):
        assert not leaks(repr(one))
        for way in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="secrets"):
                way(one)


def registries():
    for i, form in enumerate(URLS):
        yield f"url-{i}", {"url": form.format(scheme="http://", path="/p", word=WORD, other=OTHER)}
        yield f"place-{i}", {"url": form.format(scheme="", path="", word=WORD, other=OTHER)}
    for i, value in enumerate(VALUES):
        yield f"user-{i}", {"url": "http://127.0.0.1:1", "basic.auth.user.info": value}
        yield f"name-{i}", {"url": "http://127.0.0.1:1", "basic.auth.user.info": f"{OTHER}:{value}"}
        yield f"key-{i}", {"url": "http://127.0.0.1:1", "ssl.key.password": value, "ssl.key.location": "/nowhere"}


def test_secrets_of_a_registry_show_nowhere(logged):
    pytest.importorskip("httpx2")
    from twolane.serializers.schema_registry import Registry

    problems = []
    for name, settings in registries():
        logged.clear()
        shown = []
        try:
            registry = Registry({**settings, "max.retries": 0, "timeout": 1})
            shown += [repr(registry), *(repr(value) for value in vars(registry).values())]
            registry.resolve('"long"', topic="t")
        except TwolaneError as error:
            shown += told(error)
        found = leaks("\n".join([*shown, *logged]))
        if found:
            line = next(text for text in [*shown, *logged] if leaks(text))
            problems.append(f"{name}: {sorted(found)[0]} in {line[:300]!r}")
    assert not problems, "\n".join(problems)
