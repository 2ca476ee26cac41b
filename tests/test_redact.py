"""What may leave: no credential, and no more than so many characters."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.redact import MAX_ERROR_CHARS, SIGN, cut, error_text, names_a_secret, printable, redacted

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
JOINERS = "\u200c\u200d"
SECRET = "Zq7Zq7Zq7Zq7"  # noqa: S105 - it is none

# Text as people meet it, and what is left of it.
MASKED = [
    (f"Authorization: Bearer {SECRET}", None),
    (f"bearer   {SECRET}==", "bearer   [redacted]"),
    (f"sent Basic {SECRET}", "sent Basic [redacted]"),
    (f"api_key={SECRET}", "api_key=[redacted]"),
    (f"api-key: {SECRET}, retry", "api-key: [redacted], retry"),
    (f'{{"apikey": "{SECRET}", "n": 1}}', '{"apikey": "[redacted]", "n": 1}'),
    (f"{{'access_key': '{SECRET}'}}", "{'access_key': '[redacted]'}"),
    (f"https://host/?token={SECRET}&page=2", "https://host/?token=[redacted]&page=2"),
    (f"PASSWORD = {SECRET}", "PASSWORD = [redacted]"),
    (f"passwd:{SECRET};x", "passwd:[redacted];x"),
    (f"x-api-key: {SECRET}", "x-api-key: [redacted]"),
    (f"OPENAI_API_KEY={SECRET} was refused", "OPENAI_API_KEY=[redacted] was refused"),
    (f"DB_PASSWORD={SECRET}", "DB_PASSWORD=[redacted]"),
    (f"access_token={SECRET}&x=1", "access_token=[redacted]&x=1"),
    (f"client_secret: {SECRET}", "client_secret: [redacted]"),
    (f"AWS_SECRET_ACCESS_KEY={SECRET}", "AWS_SECRET_ACCESS_KEY=[redacted]"),
    (f"SECRET_KEY = '{SECRET}'", "SECRET_KEY = '[redacted]'"),
    ("Incorrect API key provided: sk-Zq7Zq7Zq7Zq7.", "Incorrect API key provided: [redacted]."),
    ("sk-proj-Zq7_Zq7-Zq7Zq7 and more", "[redacted] and more"),
    ("ghp_Zq7Zq7Zq7Zq7Zq7", "[redacted]"),
    ("hf_Zq7Zq7Zq7Zq7Zq7", "[redacted]"),
    ("xoxb-Zq7Zq7Zq7-Zq7", "[redacted]"),
    ("key AKIAIOSFODNN7EXAMPLE is inactive", "key [redacted] is inactive"),
    (f"postgres://app:{SECRET}@db:5432/x", "postgres://app:[redacted]@db:5432/x"),
    (f"redis://:{SECRET}@cache/0", "redis://:[redacted]@cache/0"),
    (f"amqp://app:{SECRET}@{SECRET}@mq/x", "amqp://app:[redacted]@mq/x"),
    (f"token is {JWT}", "token is [redacted]"),
    (f"cookie={JWT}; path=/", "cookie=[redacted]; path=/"),
    (f"sent basic dXNlcjpwYXNz{SECRET}", "sent basic [redacted]"),
    ("ASIAIOSFODNN7EXAMPLE", "[redacted]"),
    (f"AIzaSy{'Zq7' * 11}", "[redacted]"),
    (f"-----BEGIN RSA PRIVATE KEY-----{SECRET}-----END RSA PRIVATE KEY----- ok", "[redacted] ok"),
    (f"private_key={SECRET}", "private_key=[redacted]"),
    ('{"password": "Zq7 with spaces, and; signs"}', '{"password": "[redacted]"}'),
    ("{'passphrase': 'Zq7 with spaces'}", "{'passphrase': '[redacted]'}"),
    (r'{"body": "{\"token\": \"Zq7 Zq7\", \"n\": 1}"}', r'{"body": "{\"token\": \"[redacted]\", \"n\": 1}"}'),
]

# Text that looks a little like it.
KEPT = [
    "",
    "the tokens: 4096 in, 12 out",
    "max_tokens=4096",
    "https://host:8080/path",
    "https://user@host/",
    "a task-force of risk-takers",
    "secretary: Zq7Zq7Zq7Zq7",
    "basic idea",
    "AKIA is a prefix",
    "eyJ.is.short",
    "passwords differ",
    "C:\\Users\\app: 1",
    "a basic understanding of Basic Authentication",
    "Basic JavaScript, and bearer certificates",
    "from huggingface_hub import hf_hub_download",
    "-----BEGIN PUBLIC KEY-----",
    "the password is secret",
]


@pytest.mark.parametrize(("text", "expected"), MASKED)
def test_a_credential_is_masked(text: str, expected: str | None) -> None:
    """What names the secret stays, and the secret is gone."""
    masked = redacted(text)
    assert expected in (None, masked)
    assert "Zq7" not in masked
    assert "[redacted]" in masked
    assert JWT[40:] not in masked


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_credential_is_kept(text: str) -> None:
    """Ordinary text is as it was."""
    assert text == redacted(text)


def test_all_secrets_of_a_text_are_masked() -> None:
    """However many there are and on however many lines."""
    text = "\n".join(text for text, _ in MASKED)
    assert "Zq7" not in redacted(text)
    assert len(text.splitlines()) == len(redacted(text).splitlines())


def test_a_private_key_is_masked_to_its_end() -> None:
    """A key block goes as a whole, over all its lines, and to the end of the text where it was cut off."""
    block = "-----BEGIN OPENSSH PRIVATE KEY-----\nZq7Zq7\nZq7Zq7\n"
    assert "[redacted]" == redacted(block)
    assert "a [redacted] b" == redacted(f"a {block}-----END OPENSSH PRIVATE KEY----- b")


SECRET_KEYS = ["password", "DB_PASSWORD", "apiKey", "x-api-key", "access_token", "clientSecret", "Authorization", "PWD"]
PLAIN_KEYS = ["max_tokens", "tokens", "key", "author", "secretary", "passwords_changed", "basic", "", "tokenizer"]


def test_keys_that_name_a_secret_are_known() -> None:
    """However a table's key is spelled, the end of it says whether its value is a secret."""
    assert SECRET_KEYS == [key for key in (*SECRET_KEYS, *PLAIN_KEYS) if names_a_secret(key)]


_pieces = st.sampled_from(
    [
        *(text for text, _ in MASKED),
        *KEPT,
        *"@:=. -\"'",
        "sk-",
        "://",
        "token",
        "eyJ",
        "[redacted]",
        "bearer ",
        "BEGIN PRIVATE KEY-----",
    ]
)


@settings(max_examples=300)
@given(st.lists(_pieces, max_size=6).map("".join))
def test_masking_masked_text_changes_nothing(text: str) -> None:
    """What has been masked once can pass through again, on its way from one exporter to the next."""
    assert redacted(text) == redacted(redacted(text))


@settings(max_examples=300)
@given(st.text(max_size=60), st.integers(0, 50))
def test_a_text_too_long_is_cut_and_says_by_how_much(text: str, limit: int) -> None:
    """A text within the limit is untouched; a longer one keeps its beginning and says how many characters it lost."""
    shown = cut(text, limit)
    lost = len(text) - limit
    assert shown == (text if lost <= 0 else f"{text[:limit]}… [{lost} more characters]")


@pytest.mark.parametrize("length", [10, MAX_ERROR_CHARS, MAX_ERROR_CHARS + 1, 3 * MAX_ERROR_CHARS, 100_000])
def test_an_error_text_says_how_much_it_has_lost(length: int) -> None:
    """However long, the text of an error is its beginning, and what is missing is counted from its whole."""
    error = ValueError("x" * length)
    lost = length - MAX_ERROR_CHARS
    tail = "" if lost <= 0 else f"… [{lost} more characters]"
    assert error_text(error) == "x" * min(length, MAX_ERROR_CHARS) + tail


def test_an_error_text_is_masked_and_cut() -> None:
    """A secret in what is kept is masked, also where it would have been cut in half."""
    error = ValueError(f"{'x' * 970} password={'Zq7' * 20} {'y' * 10_000}")
    text = error_text(error)
    assert "Zq7" not in text
    assert text.startswith(f"{'x' * 970} password=[redacted] yyy")
    assert len(text) < MAX_ERROR_CHARS + 40


def test_an_error_that_cannot_be_read_raises() -> None:
    """The caller is inside the guard, so a failing ``__str__`` is not hidden here."""

    class UnreadableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        error_text(UnreadableError())


PIECES = [
    "eyJ-",
    "eyJaaaaaaaa.",
    "://:",
    "://a:b",
    "sk-",
    "token ",
    "token=",
    "bearer ",
    " ",
    "a",
    ":",
    ".",
    "-",
    "-----BEGIN PRIVATE KEY-----",
]
PIECES += ["-----BEGIN ", 'password="', 'token\\": ', "basic a", "aB", "AIza"]
HEADS = ["", "bearer ", "password", "://:", "eyJaaaaaaaaaaa."]
MASKS = """
import json, sys
from tachograph.redact import redacted

size, heads, pieces = json.loads(sys.argv[1])
for head in heads:
    for piece in pieces:
        masked = redacted(head + piece * (size // len(piece)) + " api_key=Zq7Zq7Zq7Zq7")
        assert "Zq7" not in masked, (head, piece)
"""


@pytest.mark.parametrize(
    "texts", [(10_000_000, [""], ["eyJ-", "a"]), (200_000, HEADS, PIECES)], ids=["10 MB", "of everything"]
)
def test_masking_is_linear(texts: tuple[int, list[str], list[str]]) -> None:
    """Whatever a long text is made of it gets through; with quadratic work that would take hours, not seconds."""
    # In a program of its own, as a match cannot be stopped from within.
    subprocess.run([sys.executable, "-c", MASKS, json.dumps(texts)], check=True, timeout=120)


@given(st.text())
def test_a_name_is_printed_on_one_line_without_control(text: str) -> None:
    """What a terminal would obey is shown as a replacement; what it would print is as it was."""
    shown = printable(text)
    assert all(char.isprintable() or char in JOINERS for char in shown)
    assert len(text) == len(shown)
    assert all(after in (before, SIGN) for before, after in zip(text, shown, strict=True))
    assert not text.isprintable() or text == shown


@pytest.mark.parametrize("text", ["می\u200cرود", "क्\u200dष", "👩\u200d💻"])
def test_joiners_are_part_of_their_words(text: str) -> None:
    """Persian, Hindi and emoji keep what joins and parts their letters; what turns writing around is replaced."""
    assert f"{text}{SIGN}{SIGN}x" == printable(f"{text}\u202e\u2066x")
