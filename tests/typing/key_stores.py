"""Keys in a mapping, in a database, and in a custom store."""

from modelgate import Flow, Gate, KeyAuth, keys, run
from modelgate.keys import Principal


class LookUp:
    """Look up keys of another system in a thread."""

    def find(self, key: str) -> Flow[Principal | None]:
        return (yield from run(self._fetch, key))

    def _fetch(self, key: str) -> Principal | None:
        return Principal("maria", ("churn",), owner="team-a", limits="5/minute") if key == "m" else None


class Blocking:
    """Look up keys by a plain method, which is wrong: a look-up must be a flow."""

    def find(self, key: str) -> Principal | None:
        return None


key: str = keys.generate()
Gate(keys={key: "churn"})
Gate(keys="sqlite:///keys.db")
Gate(keys=keys.SqlKeyStore("sqlite:///keys.db"))
Gate(keys=LookUp())
KeyAuth(LookUp(), scope="churn:predict")

Gate(keys=Blocking())  # type: ignore[arg-type]
Gate(keys={key: 5})  # type: ignore[dict-item]
