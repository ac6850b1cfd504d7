"""What the files of docker/ say agrees with the rest; whether the image works is for `make docker-check`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from detic_crop.cli.main import cli
from detic_crop.detectors.catalogue import catalogue
from detic_crop.detectors.weights import FOLDER_VARIABLE

pytestmark = pytest.mark.outside

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "quickstart-cluster.md").read_text(encoding="utf-8")
COUNT_VARIABLE = "DETIC_CROP_SHARDS"  # of --shard auto; no option

posix = pytest.mark.skipif(os.name != "posix", reason="job.slurm is for bash")


def compose() -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_bytes())
    return value


def jobs() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DOCKER / "job.yaml").read_bytes()))


def containers() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every container of job.yaml with its pod."""
    for job in jobs():
        pod = job["spec"]["template"]["spec"]
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            yield pod, container


def command_lines() -> list[list[str]]:
    """What the files give to detic-crop, word by word."""
    lines = [container["args"] for _, container in containers()]
    for service in compose()["services"].values():
        command = service["command"]
        words = command.split() if isinstance(command, str) else command
        lines.append([re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in words])
    in_page = PAGE.replace("\\\n", "")
    return lines + [
        line.split() for line in re.findall(r"^docker run .* detic-crop (.*)$", in_page, re.MULTILINE)
    ]


def option_variables(command: Any = cli) -> set[str]:
    found = {option.envvar for option in command.params if getattr(option, "envvar", None)}
    for inner in getattr(command, "commands", {}).values():
        found |= option_variables(inner)
    return found


def test_command_lines_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(command_lines()) == 3 + 3 + 2
    monkeypatch.setenv("DETIC_CROP_IN", "/photos")
    monkeypatch.setenv("DETIC_CROP_OUT", "/cropped")
    for words in command_lines():
        command: Any = cli
        words = list(words)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context("detic-crop", words, resilient_parsing=False).close()


def test_variables_are_those_of_options() -> None:
    files = [path.read_text(encoding="utf-8") for path in DOCKER.iterdir()]
    section = PAGE.split("## Docker\n")[1].split("\n## ")[0]
    used = set(re.findall(r"\bDETIC_CROP_\w+", "\n".join([*files, section])))
    assert used >= {"DETIC_CROP_IN", "DETIC_CROP_OUT", "DETIC_CROP_SHARD", COUNT_VARIABLE, FOLDER_VARIABLE}
    assert used <= option_variables() | {FOLDER_VARIABLE, COUNT_VARIABLE}


def test_models_are_those_of_the_catalogue() -> None:
    pulled = [words[words.index("pull") + 1] for words in command_lines() if "pull" in words]
    assert len(pulled) >= 3
    assert set(pulled) <= set(catalogue())


def test_the_dockerfile_copies_what_there_is_and_what_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    sources = [
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, flags=re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert allowed == set(sources)


def test_stages_and_arguments_that_are_named_are_there() -> None:
    stages = re.findall(r"^FROM .* AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    assert stages[-1] == "gpu"
    assert compose()["services"]["crop"]["build"]["target"] in stages
    told = PAGE + (DOCKER / "check.sh").read_text(encoding="utf-8")
    targets = re.findall(r"--target (\w+) ", told)
    assert len(targets) == 2
    assert set(targets) <= set(stages)
    arguments = set(re.findall(r"^ARG (\w+)", DOCKERFILE, flags=re.MULTILINE))
    assert set(re.findall(r"--build-arg \"?(\w+)=", told)) <= arguments
    explained = DOCKERFILE.split("# Build arguments:")[1].split("# A pip.conf")[0]
    assert arguments == set(re.findall(r"[A-Z_]{4,}", explained))


def test_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = re.findall(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, flags=re.MULTILINE)
    assert len(extras) == 1
    brought = set(extras[0].split(","))
    assert brought <= set(project["optional-dependencies"])
    assert {"onnx", "hf"} <= brought  # what every kind of models needs


def test_every_shard_has_a_task() -> None:
    crop, merge = jobs()
    assert crop["spec"]["completionMode"] == "Indexed"
    (container,) = crop["spec"]["template"]["spec"]["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    assert variables["DETIC_CROP_SHARD"] == "auto"
    assert int(variables[COUNT_VARIABLE]) == crop["spec"]["completions"] == crop["spec"]["parallelism"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert merge["spec"]["suspend"]
    rules = {rule["action"]: rule for rule in crop["spec"]["podFailurePolicy"]["rules"]}
    assert rules["FailIndex"]["onExitCodes"] == {
        "containerName": container["name"],
        "operator": "In",
        "values": [2],
    }


def test_containers_may_do_no_more_than_they_need() -> None:
    mounted: dict[str, set[str]] = {}
    for pod, container in containers():
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert pod["terminationGracePeriodSeconds"] >= 60
        volumes = {volume["name"] for volume in pod["volumes"]}
        for mount in container["volumeMounts"]:
            assert mount["name"] in volumes
            mounted.setdefault(mount["mountPath"], set()).add(mount["name"])
            assert mount["name"] != "photos" or mount["readOnly"]
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert all(len(names) == 1 for names in mounted.values())
    for service in compose()["services"].values():
        assert service["read_only"]
        assert service["tmpfs"] == "/tmp"
        for volume in service["volumes"]:
            assert volume == "weights:/weights" or volume["target"] != "/photos" or volume["read_only"]


def test_the_page_names_files_that_are_there() -> None:
    named = set(re.findall(r"\bdocker/[\w.]+", PAGE))
    assert {path.name for path in DOCKER.iterdir()} - {"check.sh"} <= {name[7:] for name in named}
    assert all((ROOT / name).exists() for name in named)


# ---------------------------------------------------------------- job.slurm, with a test as Slurm


@pytest.fixture
def task(tmp_path: Path) -> dict[str, str]:
    """The environment of an array task, where detic-crop and scontrol note how they were called."""
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "scontrol").write_text('#!/bin/sh\necho "$@" >>scontrol.said\n')
    (bin / "detic-crop").write_text(
        "#!/bin/sh\n"
        "trap 'sleep 0.3; exit 143' TERM\n"
        'echo "$@" >>detic-crop.said\n'
        "i=0\n"
        'while [ -n "$SLOW" ] && [ $i -lt 600 ]; do sleep 0.05; i=$((i+1)); done\n'
        "exit ${CODE:-0}\n"
    )
    for program in bin.iterdir():
        program.chmod(0o755)
    return {
        "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
        "DETIC_CROP_IN": "/photos",
        "DETIC_CROP_OUT": str(tmp_path / "cropped"),
        "SLURM_ARRAY_JOB_ID": "77",
        "SLURM_ARRAY_TASK_ID": "3",
        "SLOW": "",
    }


def start(task: dict[str, str], *arguments: str) -> subprocess.Popen[bytes]:
    work = Path(task["DETIC_CROP_OUT"]).parent
    return subprocess.Popen(["bash", DOCKER / "job.slurm", *arguments], cwd=work, env=task)


def said(task: dict[str, str], name: str) -> str:
    path = Path(task["DETIC_CROP_OUT"]).parent / f"{name}.said"
    return path.read_text() if path.exists() else ""


@posix
@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_task_ends_as_its_run_ends(task: dict[str, str], code: int) -> None:
    assert start({**task, "CODE": str(code)}, "--size", "768").wait() == code
    assert said(task, "detic-crop") == "run --shard auto --quiet --size 768\n"
    assert said(task, "scontrol") == ""


@posix
@pytest.mark.parametrize(("number", "requeued"), [(signal.SIGUSR1, "requeue 77_3\n"), (signal.SIGTERM, "")])
def test_a_task_out_of_time_queues_again_but_a_cancelled_one_does_not(
    task: dict[str, str], number: signal.Signals, requeued: str
) -> None:
    job = start({**task, "SLOW": "yes"})
    while not said(task, "detic-crop"):
        assert job.poll() is None
        time.sleep(0.02)
    job.send_signal(number)
    assert job.wait() == 143
    assert said(task, "scontrol") == requeued


@posix
def test_the_last_job_merges(task: dict[str, str]) -> None:
    assert start(task, "merge").wait() == 0
    assert said(task, "detic-crop") == f"merge {task['DETIC_CROP_OUT']}\n"
