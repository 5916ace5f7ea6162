"""Shared by all Python suites: runs checks one by one and prints one line for each."""

import base64
import sys
import traceback

# One pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

PDF = b"%PDF-1.4\n%%EOF\n"

_checks = []


def encoded(data):
    """Base64, as text."""
    return base64.b64encode(data).decode()


def raised(kind, call):
    """Returns the error of this class with which a call must fail."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError("no error")


def check(function):
    """Registers a check under the function's name."""
    _checks.append(function)
    return function


def add(name, function):
    """Registers a check under another name."""
    function.__name__ = name
    check(function)


def run():
    """Runs every check and prints `ok` or the error. Tracebacks go to stderr."""
    for function in _checks:
        try:
            function()
            print(f"{function.__name__}\tok", flush=True)
        except Exception as error:  # Every exception of a client is a result.
            message = f"{type(error).__name__}: {error}".replace("\t", " ").splitlines()[0][:160]
            print(f"{function.__name__}\t{message}", flush=True)
            traceback.print_exc(file=sys.stderr)
