"""What the scripts share that run our benchmarks beside those of other programs."""
import datetime, json, os, pathlib, platform, subprocess, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PEERS = ROOT / "scripts/peers"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TORCH = "2.15.0"


def environment(name, *packages):
    """A Python environment with these packages; its interpreter."""
    python = TARGET / name / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(TARGET / name)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
    return str(python)


def benchmark(name, *crates):
    """Builds a benchmark; its executable."""
    command = ["cargo", "bench", *(word for crate in crates for word in ("-p", crate)), "--bench", name, "--no-run"]
    command += ["--message-format=json"]
    for line in subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == name and message.get("executable"):
            return message["executable"]
    sys.exit("no benchmark was built")


def measured(command):
    """Runs a command; its JSON document and its peak memory in MB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command} failed")
    return json.loads(output), usage.ru_maxrss / 1024


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def write(name, rows, versions):
    """Writes artifacts/reference/NAME; prints it instead when only some cases were asked for."""
    document = {
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "date": datetime.date.today().isoformat(),
        "versions": versions | {"widenet": "0.1.0", "burn": "0.22.1"},
        "rows": rows,
    }
    text = json.dumps(document, indent=1)
    if len(sys.argv) == 1:
        (ROOT / "artifacts/reference" / name).write_text(text + "\n")
    else:
        print(text)
