"""Habits of the command: what it prints unasked, how much, in colour or not, and where things were written."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys

import pytest

import fastdeg as fd
from fastdeg.cli import VERBS, main
from fastdeg.cli.examples import EXAMPLES

TABLE = "blur_sigma,noise_sigma,jpeg_quality\n0.5,12,80\n1.5,15,75\n0.7,22,85\n1.2,8,60\n"


@pytest.fixture
def craft(tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)
    return ["craft", "--annotations", str(tmp_path / "table.csv"), "--space", "paper", "-o", str(tmp_path / "run")]


def test_the_command_alone_says_what_can_be_done(capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out
    for verb in VERBS:
        assert re.search(rf"^    {verb} ", printed, re.MULTILINE)
    assert printed.count("  fastdeg ") >= 2


def test_the_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"fastdeg {fd.__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_examples_that_it_understands(verb, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    printed = capsys.readouterr().out
    assert EXAMPLES[verb]
    for _, command in EXAMPLES[verb]:
        assert command in printed
        words = [word for word in shlex.split(command) if "=" not in word]
        assert words[:2] == ["fastdeg", verb]
        for option in (word for word in words if word.startswith("-")):
            assert re.search(rf"^  .*(?<![\w-]){option}(?![\w-])", printed.split("examples:")[0], re.MULTILINE), option


def test_the_run_folder_is_the_last_line(craft, capsys):
    assert main(craft) == 0
    assert capsys.readouterr().out.splitlines()[-1] == craft[-1]


def test_quiet_prints_where_things_were_written_and_errors(craft, capsys):
    assert main([*craft, "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{craft[-1]}\n"
    assert captured.err == ""
    assert main([*craft, "--quiet"]) == 2
    assert "holds an earlier run" in capsys.readouterr().err
    assert main([*craft, "--quiet", "--verbose"]) == 2
    assert "expected one of them" in capsys.readouterr().err


def test_verbose_tells_each_phase_with_its_time(craft, capsys):
    assert main([*craft, "--verbose", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["converged"]
    assert len(re.findall(r"^fastdeg: +\d+\.\d s: \w+", captured.err, re.MULTILINE)) >= 2


def on_a_terminal(command: list[str], **environment: str) -> str:
    """Return what a command writes to a terminal of its own."""
    parent, child = pty.openpty()
    settings = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI")}
    settings |= {"TERM": "xterm-256color", **environment}
    process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=settings)
    os.close(child)
    received = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # the terminal's other end is closed
            break
        if not piece:
            break
        received += piece
    os.close(parent)
    assert process.wait() == 0, received
    return received.decode()


def test_colours_are_left_out_where_no_color_is_set(craft):
    command = [sys.executable, "-m", "fastdeg.cli", *craft, "--force"]
    colour = re.compile(r"\x1b\[[0-9;]*(?:3[0-7]|38;5;\d+|9[0-7])[0-9;]*m")
    shown = on_a_terminal(command)
    assert colour.search(shown)
    assert "crafted p" in shown
    shown = on_a_terminal(command, NO_COLOR="1")
    assert not colour.search(shown)
    assert "crafted p" in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(shell, tmp_path, capsys):
    pytest.importorskip("shtab")
    assert main(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(verb in script for verb in VERBS)
    if shell == "bash":
        (tmp_path / "script").write_text(script)
        ask = 'source ./script; COMP_WORDS=(fastdeg craft --anno); COMP_CWORD=2; _shtab_fastdeg; echo "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.strip() == "--annotations", done.stderr
