"""What the suites of all Python clients share: checks that are run one by one, and told in a line each."""

import base64
import sys
import traceback

# One pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

_checks = []


def check(function):
    """Registers a check under the function's name."""
    _checks.append(function)
    return function


def run():
    """Runs every check. A line says `ok` or how it failed; where it failed goes to the terminal."""
    for function in _checks:
        try:
            function()
            print(f"{function.__name__}\tok", flush=True)
        except Exception as error:  # Whatever a client raises is a result.
            said = f"{type(error).__name__}: {error}".replace("\t", " ").splitlines()[0][:160]
            print(f"{function.__name__}\t{said}", flush=True)
            traceback.print_exc(file=sys.stderr)
