"""What Prometheus makes of an answer."""

from prometheus_client.parser import text_string_to_metric_families


def samples(text):
    """Every sample by its name and labels; none is there twice."""
    found = [
        ((sample.name, *sorted(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def sample(text, name, **labels):
    """One of them, None where it is not told."""
    return samples(text).get((name, *sorted(labels.items())))
