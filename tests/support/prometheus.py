"""Read metrics with the parser of Prometheus' own client."""

from prometheus_client.parser import text_string_to_metric_families


def parse_samples(text):
    """Return every sample by its name and labels. Each must be there once."""
    found = [
        ((sample.name, *sorted(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def read_sample(text, name, **labels):
    """Return the value of one sample, or None if it is missing."""
    return parse_samples(text).get((name, *sorted(labels.items())))
