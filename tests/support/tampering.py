"""Change packages after they were made, as an attacker could."""

import hashlib
import json
import zipfile

from modelgate.models.archive import SIGNATURE, pack
from modelgate.models.ed25519 import sign


def read_members(path):
    """Return the content of each member of a package."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite_package(path, sign_key=None, **changes):
    """Change members of a package, and update digests and signature to fit.

    A member is named as ``schema_json``. Its change is new content, a function that edits the decoded JSON, or
    None to remove it.
    """
    members = read_members(path)
    edit = changes.pop("manifest_json", None)
    for name, change in changes.items():
        name = name.replace("_", ".")
        if change is None:
            del members[name]
        else:
            members[name] = change if isinstance(change, bytes) else _edit_json(members[name], change)
    manifest = json.loads(members.pop("manifest.json"))
    manifest["members"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in members.items()
        if name != SIGNATURE
    }
    if edit is not None:
        edit(manifest)
    raw = json.dumps(manifest).encode()
    members.pop(SIGNATURE, None)
    signature = {SIGNATURE: sign(raw, sign_key)} if sign_key else {}
    path.write_bytes(pack({"manifest.json": raw, **signature, **members}))


def _edit_json(content, change):
    value = json.loads(content)
    change(value)
    return json.dumps(value).encode()
