"""What becomes of output that nobody reads, that has no room, or that has no place to go."""

import os
import subprocess
import sys

import pytest


def test_a_reader_that_leaves_early_is_no_error() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-m", "stentor", "inspect", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(b'{"encoding":"gsm7"')
        process.stdout.close()
        process.stdin.write(b"two\n")
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.parametrize("arguments", [("inspect", "x"), ("--help",)])
def test_output_that_cannot_be_written_is_complained_about_in_a_sentence(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "stentor", *arguments], stdout=full, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (
        1,
        b"stentor: The output cannot be written: No space left on device.\n",
    )


def test_closed_streams_are_empty_ones() -> None:
    command = [sys.executable, "-m", "stentor", "inspect", "-"]
    done = subprocess.run(["sh", "-c", '"$@" <&- >&-', "sh", *command], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
