"""Writes the bill of materials of a release as CycloneDX 1.5: every crate that goes into the program or builds it, for Linux
on x86-64. What is vendored in C (librdkafka, OpenSSL, zstd) is named by the crate that brings it."""

import json
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

TARGET = "x86_64-unknown-linux-gnu"


def metadata():
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={TARGET}"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def wanted(nodes, root):
    """Ids of what the program needs, and of each what it needs itself; tests and benchmarks aside."""
    needs, left = {}, [root]
    while left:
        node = nodes[left.pop()]
        kinds = lambda dep: {kind["kind"] for kind in dep["dep_kinds"]}
        needs[node["id"]] = [dep["pkg"] for dep in node["deps"] if kinds(dep) != {"dev"}]
        left += [one for one in needs[node["id"]] if one not in needs]
    return needs


def component(package, checksums):
    name, version = package["name"], package["version"]
    purl = f"pkg:cargo/{name}@{version}"
    entry = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if package["license"]:
        # Older crates write "A/B" where either may be chosen.
        entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum := checksums.get((name, version)):
        entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return entry


def bill():
    told = metadata()
    packages = {package["id"]: package for package in told["packages"]}
    nodes = {node["id"]: node for node in told["resolve"]["nodes"]}
    root = told["resolve"]["root"]
    needs = wanted(nodes, root)
    locked = tomllib.loads(Path("Cargo.lock").read_text())["package"]
    checksums = {(one["name"], one["version"]): one.get("checksum") for one in locked}
    parts = {id: component(packages[id], checksums) for id in needs}
    ref = lambda id: parts[id]["bom-ref"]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {"component": parts[root] | {"type": "application"}},
        "components": sorted((parts[id] for id in needs if id != root), key=lambda part: part["bom-ref"]),
        "dependencies": [{"ref": ref(id), "dependsOn": sorted({ref(one) for one in needs[id]})} for id in needs],
    }


def check(bill):
    """What the schema requires beyond the fields that are written above, and what makes a bill of use."""
    refs = [part["bom-ref"] for part in bill["components"]]
    assert len(refs) == len(set(refs)), "two parts have one name"
    known = {*refs, bill["metadata"]["component"]["bom-ref"]}
    assert all({line["ref"], *line["dependsOn"]} <= known for line in bill["dependencies"]), "a part is missing"
    for part in bill["components"]:
        assert part["name"] and part["version"] and part.get("licenses") and part.get("hashes"), part
    assert {"rdkafka-sys", "openssl-src", "rustls"} <= {part["name"] for part in bill["components"]}


whole = bill()
check(whole)
Path(sys.argv[1]).write_text(json.dumps(whole, indent=1) + "\n")
print(f"{sys.argv[1]}: {len(whole['components'])} parts")
