"""SkforecastForecaster without skforecast. The tests with it are in servers/forecasting_libraries.py."""

import sys

import pytest

from modelgate import ConfigurationError, SkforecastForecaster
from support.series import SPEC


def test_missing_skforecast_is_reported_with_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "skforecast", None)

    with pytest.raises(ConfigurationError) as info:
        SkforecastForecaster(object(), SPEC)
    assert 'SkforecastForecaster needs skforecast: pip install "modelgate[skforecast]"' == str(info.value)
