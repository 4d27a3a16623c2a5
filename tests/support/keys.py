"""API keys of the tests."""

KEY = "a-key-for-the-wine-deployment"
OTHER_KEY = "a-key-for-some-other-deployments"
