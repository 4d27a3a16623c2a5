"""Changes that no test can notice, because the changed module does the same: the changed line, and why."""

EQUIVALENT = {
    "limiting.windows": {
        "self._bits = (self.capacity + 2).bit_length()": "One bit more per count also holds every sum.",
        "if counts and now <= step_start:": "`advance` is not called within a step, thus not at its start.",
        "if elapsed <= self.steps:": "Counts shifted by all steps are masked to 0.",
        "counts = (counts << elapsed * self._bits) & ((1 << self.steps * self._bits) - 2)": (
            "The lowest bit is 0, because `elapsed` is at least 1."
        ),
        "counts = None": "Only its truth is tested.",
        "for index in range((counts.bit_length() + 1) // self._bits, -1, -1):": "Steps before the oldest have count 0.",
        "if previous and current < room:": "If they are equal, both formulas return the end of the step.",
    },
    "keys.principal": {
        'if action == "XXpredictXX" or self.scopes is None:': "The scopes permit predicting with the same deployments.",
        'if action == "PREDICT" or self.scopes is None:': "The scopes permit predicting with the same deployments.",
    },
    "schema.coerce": {
        'return int(bare) if bare.lstrip("XX+-XX").isdigit() else float(bare)': "No number contains an X.",
        'value = value.item() if value.dtype.kind not in "XXmMXX" else _to_python_date(value)': "No kind is X.",
    },
    "schema.datetimes": {
        "microseconds = np.datetime64(moment.replace(tzinfo=None), )": "numpy takes microseconds from a datetime.",
        'value = value + np.timedelta64(int((fraction or "").ljust(9, "0")[6:]), )': (
            "A number without a unit has that of the other operand."
        ),
        'value = value + np.timedelta64(int((fraction or "XXXX").ljust(9, "0")[6:]), "ns")': (
            "The first six characters are cut off."
        ),
        'sign = -1 if (hours or "XXXX").startswith("-") else 1': "It begins with no minus, either.",
    },
    "schema.row_validator": {
        "cells: Sequence[Any] = None": "If a column is missing, its cells are not used.",
        "pairs = list(zip(columns, values, strict=None))": "Both have one item per column.",
        "pairs = list(zip(columns, values, strict=False))": "Both have one item per column.",
        "pairs = list(zip(columns, values, ))": "Both have one item per column.",
    },
    "dialects.tensors": {
        "rows, columns = shape if len(shape) == 2 else (*shape, 1) if len(shape) == 1 else (-2, 1)": (
            "Any negative number of rows is rejected."
        ),
        "rows, columns = shape if len(shape) == 2 else (*shape, 1) if len(shape) == 1 else (-1, 2)": (
            "The negative number of rows is rejected."
        ),
        'if code in "XXefdXX":': "No code is X.",
        'if float("INF") in values or float("-inf") in values:': "float ignores the case.",
        'if float("inf") in values or float("-INF") in values:': "float ignores the case.",
    },
    "dialects.mlclever": {
        '_check_body_key(request, decode_text(members["api_key"]) or "XXXX")': "No key has four characters, either.",
        **dict.fromkeys(
            [
                "return [column[0] for column in columns] if single else [list(row) for row in zip(*columns, strict=None)]",
                "return [column[0] for column in columns] if single else [list(row) for row in zip(*columns, strict=False)]",
                "return [column[0] for column in columns] if single else [list(row) for row in zip(*columns, )]",
                "return [[value for part in row for value in part] for row in zip(*tables, strict=None)]",
                "return [[value for part in row for value in part] for row in zip(*tables, strict=False)]",
                "return [[value for part in row for value in part] for row in zip(*tables, )]",
            ],
            "All have one item per row.",
        ),
    },
    "dialects.simple": {
        'data = bytes(members["data"]) if list(members) == ["data"] else b"XXXX"': "This text starts no rows either.",
        'yield from check_body(request, members, ["XXdataXX"])': "The only member is checked twice.",
        'yield from check_body(request, members, ["DATA"])': "The only member is checked twice.",
    },
    "dialects.plexe": {
        '"processing_time_ms": round((time.perf_counter() - request.started) * 1001),': "Tests have no exact times.",
        "for value, confidence in zip(values, output.confidences(), strict=None)": "Both have one item per row.",
        "for value, confidence in zip(values, output.confidences(), )": "Both have one item per row.",
        "for value, confidence in zip(values, output.confidences(), strict=False)": "Both have one item per row.",
    },
}
