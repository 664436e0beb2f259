"""`python -m checks.kubernetes.crds FILE…`: update the schemas from CustomResourceDefinitions in YAML."""

import json
import sys
from pathlib import Path

import yaml

from checks.kubernetes.crds import closed, file_name

for path in map(Path, sys.argv[1:]):
    definition = yaml.safe_load(path.read_text())["spec"]
    for version in definition["versions"]:
        if version["storage"]:
            name = file_name(f"{definition['group']}/{version['name']}", definition["names"]["kind"])
            schema = closed(version["schema"]["openAPIV3Schema"])
            Path(__file__).with_name(name).write_text(json.dumps(schema, separators=(",", ":")) + "\n")
