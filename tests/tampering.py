"""Packages that are changed after they were made."""

import hashlib
import json
import zipfile

from modelgate.models.archive import pack
from modelgate.models.rules import sign


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, key=None, **changes):
    """Change members of a package as its maker could: digests and signature fit again.

    A name is written as ``schema_json``; a function is given what the JSON says.
    """
    members = members_of(path)
    edit = changes.pop("manifest_json", None)
    for name, change in changes.items():
        name = name.replace("_", ".")
        if change is None:
            del members[name]
        else:
            members[name] = change if isinstance(change, bytes) else _edited(members[name], change)
    manifest = json.loads(members.pop("manifest.json"))
    manifest["members"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in members.items()
        if name != "signature"
    }
    if edit is not None:
        edit(manifest)
    raw = json.dumps(manifest).encode()
    members.pop("signature", None)
    signature = {"signature": sign(raw, key)} if key else {}
    path.write_bytes(pack({"manifest.json": raw, **signature, **members}))


def _edited(content, change):
    told = json.loads(content)
    change(told)
    return json.dumps(told).encode()
