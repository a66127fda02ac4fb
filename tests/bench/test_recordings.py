"""Recordings of the command: what a terminal shows, and the picture of it."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.recordings.terminal import screens, svg


def test_the_command_believes_that_it_is_on_a_terminal(tmp_path):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    code = "from twolane.cli.output import console; console().print('[red]hello[/]')"
    found = screens(f'python -c "{code}"; twolane about', tmp_path, {"PATH": path})
    assert found[-1][0] == "\x1b[31mhello\x1b[0m"
    assert found[-1][1].startswith("twolane ")
    picture = svg("a title", [("twolane about", found[-1])])
    texts = "".join(ET.fromstring(picture).itertext()).replace("\xa0", " ")
    assert all(word in texts for word in ("a title", "$ twolane about", "hello", "librdkafka"))
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "").replace("https://www.textualize.io", "")


def test_a_bar_is_one_line(tmp_path):
    found = screens(r"printf 'a\r\033[2Kb\ntwo\n\033[2Athree\r\033[2Kfour'", tmp_path, {})
    assert found[-1] == ["four", "two", ""]


def test_a_command_that_fails_is_said(tmp_path):
    with pytest.raises(RuntimeError, match="no such thing"):
        screens("echo no such thing; exit 3", tmp_path, {})
