"""Models in a folder, in memory, and in a custom store."""

from pathlib import Path
from typing import Any, assert_type

from modelgate import FolderStore, Gate, MemoryStore, ModelPackage, ModelStore, NotFound


class Bucket:
    """Load models of another system."""

    def load(self, name: str) -> Any:
        if name != "churn":
            raise NotFound
        return object()


class Unloadable:
    def get(self, name: str) -> object:
        return object()


stores: list[ModelStore] = [Bucket(), MemoryStore({"churn": object()}), FolderStore("models")]
Gate(keys="open", store=Bucket())
Gate(keys="open", store="models")
Gate(keys="open", store=Path("models"))

package = ModelPackage.load("churn.mgpkg", sha256="00")
assert_type(package, ModelPackage)
assert_type(FolderStore("models").load("churn"), ModelPackage)
package.save("churn@2.mgpkg")

Gate(keys="open", store=Unloadable())  # type: ignore[arg-type]
MemoryStore([object()])  # type: ignore[arg-type]
