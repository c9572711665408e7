"""Report tests in the Test Anything Protocol, which `meson test` reads."""
import sys
import time
import traceback

FAIL_LINES_MAX = 40  # of a failed test's reason


class Skip(Exception):
    """Raised by a test, or before any: it cannot run here, for the given reason."""


def expect(condition, *reason):
    """Fail the test unless `condition` holds."""
    if not condition:
        raise AssertionError(" ".join(str(part) for part in reason))


def expect_equal(got, wanted, what=""):
    """Fail the test unless both are equal."""
    expect(got == wanted, what, f"got {got!r}, wanted {wanted!r}")


def _diagnose(error):
    if isinstance(error, AssertionError):
        lines = str(error).splitlines()
    else:
        lines = traceback.format_exception(error)
    for line in "\n".join(lines).splitlines()[-FAIL_LINES_MAX:]:
        print(f"# {line}")


def run(tests, *arguments):
    """Call each test with the arguments; its name, with spaces, is the test's.  Exit 1 if one failed."""
    print(f"1..{len(tests)}", flush=True)
    failed = 0
    for number, test in enumerate(tests, 1):
        name = test.__name__.replace("_", " ")
        began = time.monotonic()
        try:
            test(*arguments)
            print(f"ok {number} - {name}")
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}")
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is this test's result
            failed += 1
            print(f"not ok {number} - {name}")
            _diagnose(error)
        print(f"# {name}: {time.monotonic() - began:.1f} s", flush=True)
    sys.exit(failed > 0)


def main(program):
    """Call `program`, which calls run(); one that raises before reports a skip or a failure of all its tests."""
    try:
        program()
    except Skip as reason:
        print(f"1..0 # SKIP {reason}", flush=True)
    except Exception as error:  # noqa: BLE001
        _diagnose(error)
        print(f"Bail out! {str(error).splitlines()[0]}", flush=True)
        sys.exit(1)
