"""Merge the OpenAPI documents of several deployments into one."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["merge_documents"]

# Components that are the same in every document of a gate.
_SHARED = ("parameters", "headers", "securitySchemes")


def merge_documents(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the OpenAPI documents of the deployments of a gate into one.

    Server URLs are relative to the mount point. The name of the deployment is added as a prefix to names of
    components and operations. A path that occurs in several documents is left out, because each deployment
    has its own schema. Such a path does not contain a deployment name: the body or the key selects the
    deployment.

    Args:
        documents: Documents by deployment name, as decoded JSON.
    """
    counts = Counter(path for document in documents.values() for path in document["paths"])
    paths: dict[str, Any] = {}
    components: dict[str, dict[str, Any]] = {}
    tags: dict[str, Any] = {}
    for name, document in documents.items():
        renamed = _rename(document, name)
        paths |= {path: item for path, item in renamed["paths"].items() if counts[path] == 1}
        for kind, parts in renamed["components"].items():
            components.setdefault(kind, {}).update(parts)
        tags |= {tag["name"]: tag for tag in document["tags"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Deployments",
            "version": "1",
            "description": "Paths that several deployments share are in the document of each deployment.",
        },
        "servers": [{"url": "."}],
        "tags": list(tags.values()),
        "paths": paths,
        "components": components,
    }


def _rename(document: Mapping[str, Any], deployment: str) -> dict[str, Any]:
    """Return the paths and components of *document*, with *deployment* as a prefix of their names."""

    def rename(value: Any) -> Any:
        if isinstance(value, list):
            return [rename(item) for item in value]
        if not isinstance(value, dict):
            return value
        copy = {name: rename(item) for name, item in value.items()}
        if str(copy.get("$ref")).startswith("#/components/"):
            copy["$ref"] = _rename_reference(copy["$ref"], deployment)
        return copy

    components = {
        kind: parts
        if kind in _SHARED
        else {f"{deployment}_{name}": rename(part) for name, part in parts.items()}
        for kind, parts in document["components"].items()
    }
    paths = rename(document["paths"])
    for item in paths.values():
        for operation in item.values():
            operation["operationId"] = f"{deployment}_{operation['operationId']}"
    return {"paths": paths, "components": components}


def _rename_reference(reference: str, deployment: str) -> str:
    _, _, kind, name = reference.split("/", 3)
    return reference if kind in _SHARED else f"#/components/{kind}/{deployment}_{name}"
